"""Sampling on one core."""

from benchmarks.table.row import Cell, Goal, Row, Script

UNIT = "tokens/CPU-s"


def _rate(policy: str, who: str) -> Cell:
    return Cell("sampling.csv", "tokens_a_cpu_second", {"policy": policy, "who": who})


ROWS = [
    Row("sampling, tiny policy", UNIT, _rate("tiny", "ours"), Goal(least=3), "generate", _rate("tiny", "generate")),
    Row(
        "sampling, SmolLM2-135M",
        UNIT,
        _rate("smollm2-135m", "ours"),
        Goal(least=1.5),
        "generate",
        _rate("smollm2-135m", "generate"),
    ),
    Row(
        "sampling, tiny policy, 32 rows",
        UNIT,
        _rate("tiny-32", "ours"),
        Goal(least=1),
        "vLLM",
        _rate("tiny-32", "vllm"),
    ),
]
SCRIPTS: list[Script] = []
