"""summary.json of an evaluation against the tables `scores` beside it.  Knows no reward and no problem."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from tokenspectrum.checking.found import Report
from tokenspectrum.errors import UserError
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_file

TOLERANCE = 1e-12  # of a mean of whole numbers, in float64


def check_summary(folder: Path, report: Report) -> None:
    """`folder` is one run's evaluation: every mean in its summary is that of the samples in its tables."""
    path = folder / "summary.json"
    if not path.exists():
        return
    try:
        summary = json.loads(path.read_text())
        logged = {(step, name): dict(facts) for step, of in summary["steps"].items() for name, facts in of.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        report.wrong(path, None, "steps", "cannot be read")
        return
    tables = {
        (file.parent.name.removeprefix("step="), file.stem): file
        for file in sorted(folder.glob("scores/*/*/*/*.parquet"))
    }
    for step, name in sorted(tables.keys() ^ logged.keys()):
        what = "has no samples" if (step, name) in logged else "is missing"
        report.wrong(path, None, "steps", f"benchmark {name} at step {step} {what}")
    for (step, name), facts in logged.items():
        if (step, name) not in tables:
            continue
        try:
            wanted = _means(read_file(tables[step, name], TABLES["scores"]), summary.get("k"))
        except (UserError, ZeroDivisionError):
            continue  # said of the table
        for fact, value in wanted.items():
            where = f"steps.{step}.{name}.{fact}"
            if not isinstance(facts.get(fact), int | float):
                report.wrong(path, None, where, f"{facts.get(fact)!r}, should be {value!r}")
                continue
            report.same("means", path, where, [facts[fact]], [value], TOLERANCE)


def _means(scores: pa.Table, samples: Any) -> dict[str, float]:
    """What a summary says of one benchmark and follows from its samples."""
    rows = scores.num_rows
    right, other = (scores[name].to_pylist() for name in ("correct", "correct_alt"))
    problems = len(set(scores["prompt_id"].to_pylist()))
    return {
        "problems": problems,
        "samples": problems * samples if isinstance(samples, int) else rows,
        "mean_at_k": sum(right) / rows,
        "mean_at_k_alternative": sum(other) / rows,
        "boxed": 1 - scores["answer"].null_count / rows,
        "mean_tokens": sum(scores["n_tokens"].to_pylist()) / rows,
        "right_by_strict_only": sum(a and not b for a, b in zip(right, other, strict=True)),
        "right_by_alternative_only": sum(b and not a for a, b in zip(right, other, strict=True)),
    }
