"""SQL over a token log: the worked queries, both macros over all of it, and the opening of many files."""

from benchmarks.table.row import Cell, Goal, Row, Script

FILE = "sql.csv"
SIZES = {"1e8": "100000000", "1e9": "1000000000"}
WORKED = ("wrong answers", "words of quadrants", "what anchors are", "what came of it", "reconcile")


def _cell(question: str, size: str, column: str, asked: str = "question") -> Cell:
    return Cell(FILE, column, {"question": question, "asked": asked, "tokens": SIZES[size]})


def _scan(question: str, size: str) -> tuple[str, Cell]:
    return ("DuckDB's scan of the columns", _cell(question, size, "wall_s", "scan"))


ROWS = [
    *(
        Row(
            f"SQL, log of {size} tokens, 2 threads: {question}",
            "s (wall)",
            _cell(question, size, "wall_s"),
            Goal(most=20, of="ours"),
            "",
            None,
            *_scan(question, size),
        )
        for size in SIZES
        for question in WORKED
    ),
    *(
        Row(
            f"SQL, log of {size} tokens, limit of 8 GiB: {macro}, memory",
            "MiB",
            _cell(macro, size, "peak_mib"),
            Goal(most=8192, of="ours"),
        )
        for size in SIZES
        for macro in ("partitions of all", "quadrants of all")
    ),
    Row(
        "opening the database at 100,000 files",
        "CPU-s",
        Cell(FILE, "cpu_s", {"question": "open", "asked": "100000 files"}),
        Goal(most=2, of="ours"),
    ),
]
SCRIPTS = [Script("sql", ("-m", "benchmarks.sql"))]
