"""Every result of the mechanism section on a probe of many tokens."""

from benchmarks.table.row import Cell, Goal, Row, Script

TOKENS = 100_000_000
RESULTS = ("support", "scatter", "layers", "quadrants", "strip", "maps", "pattern")

ROWS = [
    Row(
        f"result {name}, probe of {TOKENS:.0e} tokens{', two layers' if name == 'layers' else ''}",
        "CPU-s",
        Cell("analysis.csv", "cpu_seconds", {"result": name, "tokens": str(TOKENS)}),
        Goal(most=60, of="ours"),
    )
    for name in RESULTS
]
SCRIPTS = [Script("analysis", ("-m", "benchmarks.analysis", "--tokens", "1e8"))]
