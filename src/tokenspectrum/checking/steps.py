"""The steps of a trained run: whether each table of its log has every step.  Reads no table."""

from collections.abc import Sequence
from pathlib import Path

from tokenspectrum.checking.found import Report
from tokenspectrum.tokenlog.writer import step_path


def check_steps(log: Path, metrics: Path, method: str, seed: int, tables: Sequence[str], report: Report) -> None:
    """Up to the last step that the metrics or any table has, none of `tables` may lack a step."""
    if not log.exists():
        return
    names = {path.name.removeprefix("step=") for root in (log, metrics) for path in root.rglob("step=*")}
    last = max((int(name) for name in names if name.isdecimal()), default=0)
    for step in range(1, last + 1):
        for table in tables:
            path = step_path(log, table, method, seed, step)
            if not path.exists():
                report.wrong(path, None, "step", f"is missing; the run has {last} steps")
