"""The token log: how fast it is written, and how small it is."""

from benchmarks.table.row import Cell, Goal, Row, Script

FILE = "tokenlog.csv"


def _cell(data: str, who: str, column: str) -> Cell:
    return Cell(FILE, column, {"data": data, "who": who})


ROWS = [
    row
    for data, about, most in (("trained", "a trained policy", 4), ("random", "random numbers", 14))
    for row in (
        Row(
            f"token log, {about}: write",
            "rows/CPU-s",
            _cell(data, "ours", "rows_a_cpu_second"),
            Goal(least=2_000_000, of="ours"),
            "pyarrow's fastest setting",
            _cell(data, "pyarrow's fastest", "rows_a_cpu_second"),
        ),
        Row(
            f"token log, {about}: bytes a row",
            "B",
            _cell(data, "ours", "bytes_a_row"),
            Goal(most=most, of="ours"),
            "pyarrow's fastest setting",
            _cell(data, "pyarrow's fastest", "bytes_a_row"),
        ),
    )
]
ROWS += [
    Row(
        "token log, a trained policy: bytes a row beside JSONL",
        "B",
        _cell("trained", "ours", "bytes_a_row"),
        Goal(most=0.05),
        "prime-rl's JSONL, the same fields",
        _cell("trained", "prime-rl's JSONL", "bytes_a_row"),
    )
]
SCRIPTS = [Script("tokenlog", ("-m", "benchmarks.tokenlog"), ("results/curves.csv",))]
