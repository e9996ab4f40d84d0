"""Scoring a response of 2,048 tokens, attention statistics and all, beside a plain forward pass."""

from benchmarks.policies import NEEDS
from benchmarks.table.row import Cell, Goal, Row, Script


def _cell(policy: str, what: str) -> Cell:
    return Cell("scoring.csv", "cpu_seconds", {"policy": policy, "what": what})


ROWS = [
    Row(
        f"scoring 2,048 tokens, attention statistics of {which}, {policy}",
        "CPU-s",
        _cell(policy, which),
        Goal(most=most),
        "forward pass",
        _cell(policy, "forward pass"),
        "with its products and exponentials",
        _cell(policy, f"limit, {which}"),
    )
    for policy in ("tiny", "smollm2-135m")
    for which, most in (("one layer", 1.1), ("all layers", 1.6))
]
SCRIPTS = [Script("scoring", ("-m", "benchmarks.scoring"), NEEDS)]
