"""Several drivers at once, a cache that cannot be written, and a clock that goes back."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hazards.kills import settle
from hazards.project import Driver, Project, Row, copy_of, difference, finish, last_line

DAY_NS = 86_400 * 10**9


def drivers(whole: Project, folder: Path, reference: dict[str, str], counts: list[int], seed: int) -> Iterator[Row]:
    """So many drivers start at the same moment in a project whose training was never run."""
    for count in counts:
        clone = copy_of(whole, folder / f"drivers-{count}")
        forget(clone, "train", "evaluate", "table1")
        started = [Driver(clone) for _ in range(count)]
        codes = [driver.wait() for driver in started]
        others = {last_line(d.said()) for d, code in zip(started, codes, strict=True) if code}
        wrong = finish(clone) or difference(clone, reference)
        outcome = f"{codes.count(0)} came to their end{_said(others)}; same bytes"
        yield Row(f"{count} drivers at once", "train, evaluate, table1", seed, wrong or outcome, int(bool(wrong)))
        shutil.rmtree(clone.root)


def forget(clone: Project, *names: str) -> None:
    """As if these stages had never run: their run records and outputs go."""
    for path in (clone.root / ".dvc/cache/runs").glob("*/*"):
        text = "".join(p.read_text(errors="replace") for p in path.iterdir())
        if any(f"stages.{name} " in text or f"--result {name}" in text for name in names):
            shutil.rmtree(path)
    for name in ("dvc.lock", "logs/runner.jsonl"):
        (clone.root / name).unlink(missing_ok=True)
    for name in ("artifacts", "results", ".dvc/tmp", ".snakemake"):
        shutil.rmtree(clone.root / name, ignore_errors=True)


def _said(lines: set[str]) -> str:
    return f"; the others: {' / '.join(sorted(lines))[:200]}" if lines else ""


def read_only_cache(whole: Project, folder: Path, reference: dict[str, str], seed: int) -> Iterator[Row]:
    """The cache is mounted read-only: once everything is in it, once training has to be stored."""
    for what, names in (("all is in it", ()), ("training is not in it", ("train", "evaluate", "table1"))):
        clone = copy_of(whole, folder / f"read-only-{len(names)}")
        forget(clone, *names)
        cache = clone.root / ".dvc/cache"
        subprocess.run(["mount", "--bind", str(cache), str(cache)], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", str(cache)], check=True)
            driver = Driver(clone)
            code, said = driver.wait(), driver.said()
            settle(clone)
        finally:
            subprocess.run(["umount", "--lazy", str(cache)], check=True)
        trace = " WITH A TRACEBACK" if "Traceback" in said else ""
        wrong = finish(clone) or difference(clone, reference)
        outcome = "brought back" if code == 0 else f"refused{trace}: {last_line(said)}; then goes on"
        yield Row("read-only cache", what, seed, wrong or f"{outcome}; same bytes", int(bool(wrong)))
        shutil.rmtree(clone.root)


def clock_back(whole: Project, folder: Path, reference: dict[str, str], seed: int) -> Iterator[Row]:
    """Everything was made tomorrow, as it looks after a clock was set back; then nothing, code or a table is edited."""
    edits = {
        "nothing is edited": ("", b""),
        "an output is edited, earlier than it was made": ("artifacts/tiny/prompts/report.json", b"\n"),
        "code is edited, earlier than what it made": ("src/tokenspectrum/results/table1/result.py", b"# later\n"),
    }
    for what, (name, added) in edits.items():
        clone = copy_of(whole, folder / "clock")
        (clone.root / "logs/runner.jsonl").unlink()
        for path in sorted(clone.root.rglob("*"), reverse=True):
            if ".git" not in path.parts and not path.is_symlink():
                state = path.stat()
                os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + DAY_NS))
        if name:
            with (clone.root / name).open("ab") as f:
                f.write(added)
        wrong = finish(clone)
        did = sorted({e["addr"] for e in clone.journal()})
        expected = {"": [], "artifacts/tiny/prompts/report.json": ["prompts"]}.get(name, ["table1"])
        wrong = wrong or difference(clone, reference) or ("" if did == expected else f"not noticed: {did}")
        outcome = f"made or brought back: {', '.join(did) or 'nothing'}; same bytes"
        yield Row("clock set back a day", what, seed, wrong or outcome, int(bool(wrong)))
        shutil.rmtree(clone.root)
