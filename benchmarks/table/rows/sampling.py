"""Sampling on one core."""

from benchmarks.policies import NEEDS
from benchmarks.table.row import Cell, Goal, Row, Script

UNIT = "tokens/CPU-s"


def _rate(policy: str, who: str) -> Cell:
    return Cell("sampling.csv", "tokens_a_cpu_second", {"policy": policy, "who": who})


CASES = {
    "tiny": ("tiny policy, 128 rows", "generate", 3.0),
    "smollm2-135m": ("SmolLM2-135M, 16 rows", "generate", 1.5),
    "tiny-32": ("tiny policy, 32 rows", "vllm", 1.0),
    "smollm2-135m, vllm": ("SmolLM2-135M, 16 rows", "vllm", 1.0),
}
NAMES = {"generate": "transformers generate", "vllm": "vLLM on the CPU"}
ROWS = [
    Row(
        f"sampling, {what}, beside {NAMES[peer]}",
        UNIT,
        _rate(case.partition(",")[0], "ours"),
        Goal(least=least),
        NAMES[peer],
        _rate(case.partition(",")[0], peer),
    )
    for case, (what, peer, least) in CASES.items()
]
SCRIPTS = [
    Script("sampling", ("-m", "benchmarks.sampling", "--cases", "tiny", "tiny-32"), NEEDS),
    Script("sampling_135m", ("-m", "benchmarks.sampling", "--cases", "smollm2-135m"), NEEDS),
]
