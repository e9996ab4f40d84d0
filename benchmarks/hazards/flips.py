"""One bit of one byte is turned: in the cache, in a table, in dvc.lock, in a checkpoint or in a kept part.

A file's times are put back where that can be done, as a failing disk would leave them.  `spectrum check` and the run
itself may notice it.  Afterwards the bytes must be those of an uninterrupted run.
"""

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hazards.others import forget
from hazards.project import Driver, Project, Row, copy_of, difference, finish, last_line, processes

Flip = Callable[[Project, random.Random], tuple[str, str]]


def flip(path: Path, rng: random.Random) -> str:
    """Turn a bit of a file; where."""
    content = bytearray(path.read_bytes())
    at, bit = rng.randrange(len(content)), rng.randrange(8)
    content[at] ^= 1 << bit
    old, mode = path.stat(), path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    return f"byte {at} of {len(content)}"


def _some(paths: Iterator[Path], rng: random.Random) -> Path:
    return rng.choice(sorted(p for p in paths if p.is_file() and p.stat().st_size))


def _cached(clone: Project, rng: random.Random) -> tuple[str, str]:
    """An object of the cache, with the output gone that it would bring back."""
    where = flip(path := _some((clone.root / ".dvc/cache/files/md5").rglob("*"), rng), rng)
    for name in ("artifacts", "results"):
        shutil.rmtree(clone.root / name)
    return f"cache object {path.parent.name}{path.name[:6]}", where


def _parquet(clone: Project, rng: random.Random) -> tuple[str, str]:
    """A table in the working tree."""
    path = _some((clone.root / "artifacts").rglob("*.parquet"), rng)
    return str(path.relative_to(clone.root)), flip(path, rng)


def _lock(clone: Project, rng: random.Random) -> tuple[str, str]:
    return "dvc.lock", flip(clone.root / "dvc.lock", rng)


def _run_record(clone: Project, rng: random.Random) -> tuple[str, str]:
    path = _some((clone.root / ".dvc/cache/runs").rglob("*"), rng)
    return f"run record {path.name[:8]}", flip(path, rng)


def _kept(clone: Project, rng: random.Random) -> tuple[str, str]:
    """A checkpoint or a part of a stage that was killed."""
    stage = rng.choice(["train@full-1", "train@low2high_mid-1", "sample@1-1", "tokens@1"])
    name = stage.partition("@")[0]
    forget(clone, name)
    driver, folder = Driver(clone), clone.root / ".ckpt" / stage
    end = time.monotonic() + 120
    while not driver.ended() and time.monotonic() < end:
        ready = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
        if ready and (stage.startswith(("sample", "tokens")) or list(folder.glob("*/step=*"))):
            break
        time.sleep(0.002)
    for kind in ("stage", "runner"):
        for pid, where in processes(clone, kind):
            if name in where:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    driver.wait()
    there = [p for p in folder.rglob("*") if p.is_file() and p.stat().st_size and ".tmp" not in str(p)]
    if not there:
        return f"{stage}: ended before it could be killed", "none"
    return f"kept by {stage}: {(path := rng.choice(sorted(there))).name}", flip(path, rng)


KINDS: tuple[Flip, ...] = (_cached, _parquet, _lock, _run_record, _kept)


def flips(whole: Project, folder: Path, reference: dict[str, str], count: int, seed: int) -> Iterator[Row]:
    """`count` flips, the kinds in turn, each in a copy of a project that has come to its end."""
    rng = random.Random(seed)
    for i in range(count):
        clone = copy_of(whole, folder / f"flip-{i}")
        (clone.root / "logs/runner.jsonl").unlink()
        where, at = KINDS[i % len(KINDS)](clone, rng)
        check = clone.run("spectrum", "check", check=False)
        driver = Driver(clone)
        code, said = driver.wait(), driver.said()
        if code and "dvc.lock" in last_line(said):
            (clone.root / "dvc.lock").unlink()  # as the line says
        noticed = _noticed(clone, check.stdout + check.stderr, said, code)
        wrong = finish(clone) or difference(clone, reference)
        trace = "; WITH A TRACEBACK" if "Traceback" in said + check.stderr else ""
        yield Row("flipped bit", f"{where}, {at}", seed, wrong or f"{noticed}; same bytes{trace}", int(bool(wrong)))
        shutil.rmtree(clone.root)


def _noticed(clone: Project, checked: str, said: str, code: int) -> str:
    """Who noticed it, and what was said."""
    heard = [
        line.strip()
        for line in said.splitlines()
        if any(w in line for w in ("damaged", "is not what", "is not as", "error: "))
    ]
    ran = sorted({e["addr"] for e in clone.journal() if e["how"] in ("ran", "restored")})
    by_check = next((line.strip() for line in checked.splitlines() if "sha256" in line or "error" in line), "")
    told = [f"the run: {heard[0]}" if heard else "", f"spectrum check: {by_check}" if by_check else ""]
    done = f"made or brought back: {', '.join(ran[:4])}" if ran else "nothing had to be done"
    how = "refused" if code else "healed"
    return "; ".join(filter(None, [*told, f"{how}, {done}", last_line(said) if code else ""]))[:400]
