"""benchmarks/reliability.py --quick: a few kills of a small run, and of math-verify's worker; nothing is lost."""

import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import reliability


def test_a_few_kills_lose_nothing(tmp_path):
    out = tmp_path / "rows.csv"
    assert reliability.main(["--quick", "--only", "kills", "worker", "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.open()))
    assert [row["what"].partition(" of ")[0] for row in rows] == ["kill -9"] * 5
    assert {row["lost"] for row in rows} == {"0"}
    assert all(row["machine"] and row["seed"] == "1" and "same" in row["outcome"] for row in rows)
