"""What a GPU must show: benchmarks/gpu.sh measures all of it in eight minutes."""

from benchmarks.table.row import Cell, Goal, Row, Script

NO_GPU = "no GPU was at hand: bash benchmarks/gpu.sh"
ENTROPY = "entropy/entropy.csv"


def _entropy(part: str, length: int, peer: str, column: str = "median_ms") -> Cell:
    return Cell(ENTROPY, column, {"part": part, "shape": "qwen3-8b", "length": str(length), "peer": peer})


def _gpu(part: str, what: str, column: str) -> Cell:
    return Cell("gpu.csv", column, {"part": part, "what": what})


def _beside(what: str, part: str, length: int, ours: str, most: float, name: str, peer: str, column: str) -> Row:
    unit = "MiB" if column == "peak_mib" else "ms"
    cells = (_entropy(part, length, who, column) for who in (ours, peer))
    return Row(f"GPU: {what}", unit, next(cells), Goal(most=most), name, next(cells), missing=NO_GPU)


FLASH, CHUNK = "FlashAttention forward", "predictive"
ROWS = [
    *(
        Row(
            f"GPU: {kernel} entropy in {dtype}, worst error",
            "nats",
            _gpu("check", f"{kernel} entropy {dtype}", "error"),
            Goal(most=1),
            "promised",
            _gpu("check", f"{kernel} entropy {dtype}", "promised"),
            missing=NO_GPU,
        )
        for kernel in ("attention", "predictive")
        for dtype in ("bfloat16", "float32")
    ),
    _beside("attention entropy, 8,192 tokens", "attention", 8192, "triton+moments", 1.25, FLASH, "sdpa", "median_ms"),
    _beside("the same, log-sum-exp given", "attention", 8192, "triton+lse", 0.75, FLASH, "sdpa", "median_ms"),
    Row(
        "GPU: attention entropy, 32,768 tokens: memory",
        "MiB",
        _entropy("attention", 32768, "triton+moments", "peak_mib"),
        Goal(most=64, of="ours"),
        missing=NO_GPU,
    ),
    _beside(
        "a forward pass with one layer's", "forward", 4096, "forward+entropy", 1.02, "forward", "forward", "median_ms"
    ),
    _beside("predictive entropy", CHUNK, 2048, "triton", 1.0, "verl linear_cross_entropy", "verl", "median_ms"),
    _beside("predictive entropy, loss alone", CHUNK, 2048, "triton", 1.0, "Liger", "liger", "median_ms"),
    _beside("predictive entropy: memory", CHUNK, 2048, "triton", 0.1, "log_softmax", "log_softmax", "peak_mib"),
    *(
        Row(
            f"GPU: scoring 2,048 tokens, attention statistics of {which}",
            "ms",
            _gpu("scoring", which, "ms"),
            Goal(most=most),
            "forward pass",
            _gpu("scoring", "forward pass", "ms"),
            missing=NO_GPU,
        )
        for which, most in (("one layer", 1.1), ("all layers", 1.6))
    ),
    Row(
        "GPU: gradient of a DAPO step, relative difference from the CPU's",
        "share",
        _gpu("train", "gradient, relative difference from the CPU's", "value"),
        Goal(most=1e-3, of="ours"),
        missing=NO_GPU,
    ),
]
SCRIPTS: list[Script] = []
