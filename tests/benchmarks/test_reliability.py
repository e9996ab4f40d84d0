"""benchmarks/reliability.py --quick: a few kills of a small run, and of math-verify's worker; nothing is lost."""

import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import reliability
from hazards.project import PROBE


def test_a_few_kills_lose_nothing(tmp_path, monkeypatch):
    projects, real = [], reliability.small_project
    monkeypatch.setattr(reliability, "small_project", lambda *given: projects.append(real(*given)) or projects[-1])
    out = tmp_path / "rows.csv"
    assert reliability.main(["--quick", "--only", "kills", "worker", "--out", str(out)]) == 0
    # As --help says, only up to the probe.
    assert [project.target for project in projects] == [PROBE] * 2
    rows = list(csv.DictReader(out.open()))
    assert [row["what"].partition(" of ")[0] for row in rows] == ["kill -9"] * 5
    assert {row["lost"] for row in rows} == {"0"}
    assert all(row["machine"] and row["seed"] == "1" and "same" in row["outcome"] for row in rows)
