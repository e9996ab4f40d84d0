"""Every weighting rule on a rollout batch of 8.4 million tokens, one core."""

from benchmarks.table.row import Cell, Goal, Row, Script

FILE = "weighting.csv"


def _slowest(column: str, whole: str) -> Cell:
    return Cell(FILE, column, {"rule": "the slowest", "whole_batch": whole, "tokens_asked": "8400000"})


ROWS = [
    Row(
        "weighting 8.4 million tokens, the slowest rule",
        "CPU-s",
        _slowest("cpu_seconds", "False"),
        Goal(most=2, of="ours"),
    ),
    Row(
        "the same, of rules that rank over the whole batch",
        "CPU-s",
        _slowest("cpu_seconds", "True"),
        Goal(most=4, of="ours"),
    ),
    Row(
        "weighting 8.4 million tokens: memory beyond the scores",
        "MB",
        Cell(FILE, "extra_mb", {"rule": "the largest", "tokens_asked": "8400000"}),
        Goal(most=1000, of="ours"),
    ),
]
SCRIPTS = [Script("weighting", ("-m", "benchmarks.weighting"))]
