"""Predictive entropy and log-probability on a CPU, beside torch's log_softmax."""

from benchmarks.table.row import Cell, Goal, Row, Script

VOCABULARIES = (100, 1_000, 8_000, 50_000, 152_000)


def _cell(vocabulary: int, who: str, column: str) -> Cell:
    return Cell("predictive.csv", column, {"vocabulary": str(vocabulary), "who": who})


ROWS = [
    Row(
        f"predictive entropy, log-probability; vocabulary {vocabulary:,}: {what}",
        unit,
        _cell(vocabulary, "ours", column),
        goal,
        "log_softmax",
        _cell(vocabulary, "log_softmax", column),
        *limit(vocabulary),
    )
    for vocabulary in VOCABULARIES
    for what, unit, column, goal, limit in (
        ("time", "CPU-ms", "cpu_ms", Goal(most=1.0), lambda v: ("product alone", _cell(v, "product", "cpu_ms"))),
        ("memory", "MiB", "peak_mib", Goal(most=0.1), lambda v: ("", None)),
    )
]
SCRIPTS = [Script("predictive", ("-m", "benchmarks.predictive"))]
