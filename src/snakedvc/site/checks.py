"""Checks of this machine: the Python environment, DVC's cache and remote, the disk, locks.

Every check is one line: ok, a warning, or a failure that says what to do.  Nothing is left behind.  Knows no project: a
project adds its own needs as further `Check`s.
"""

import contextlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from snakedvc.dvcfiles.config import DvcConfig
from snakedvc.dvcfiles.locks import attempt
from snakedvc.errors import ProjectError

CONSTRAINTS = Path("constraints.txt")
TEMPORARY = Path(".dvc/tmp/doctor")
GIB = 2**30


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    name: str
    state: Literal["ok", "warn", "fail"]
    what: str


def run(*command: str, seconds: float = 30.0) -> subprocess.CompletedProcess[str]:
    """Run a command.  The exit status is 127 if it is missing, and 124 if it takes too long."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]}: not found")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"{command[0]}: no answer within {seconds:.0f} s")


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of a failed command's output."""
    return ((done.stderr + done.stdout).strip().splitlines() or [f"exit {done.returncode}"])[-1]


def _pins() -> dict[str, str]:
    lines = CONSTRAINTS.read_text().splitlines() if CONSTRAINTS.exists() else []
    return dict(line.split("==") for line in lines if re.match(r"[\w.-]+==", line))


def python(distribution: str, modules: Sequence[str], install: str) -> Iterator[Check]:
    """Check versions by the bounds of `distribution` and the pins of constraints.txt, and that `modules` import.

    `install`: the command that corrects it.
    """
    requirements = [Requirement(r) for r in importlib.metadata.requires(distribution) or [] if "extra ==" not in r]
    pins = {name.lower(): version for name, version in _pins().items()}
    wrong, other = [], []
    for requirement in requirements:
        try:
            found = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} {found}, not {requirement.specifier}")
        elif found.split("+")[0] != pins.get(requirement.name.lower(), found).split("+")[0]:
            other.append(f"{requirement.name} {found}, not {pins[requirement.name.lower()]}")
    if wrong:
        yield Check("versions", "fail", f"{'; '.join(wrong)}: install with `{install}`")
    elif other:
        yield Check("versions", "warn", f"within the bounds, but not those that the tests ran with: {'; '.join(other)}")
    else:
        yield Check("versions", "ok", f"{len(requirements)} packages as pinned, Python {sys.version.split()[0]}")
    done = run(sys.executable, "-c", f"import {', '.join(modules)}", seconds=180)
    if done.returncode:
        yield Check("imports", "fail", f"{last_line(done)}: install with `{install}`")
    else:
        yield Check("imports", "ok", ", ".join(modules))


def _writable(folder: Path) -> OSError | None:
    path = folder / f".doctor-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text("doctor")
        path.unlink()
    except OSError as e:
        return e
    return None


def cache(config: DvcConfig) -> Iterator[Check]:
    """Check that DVC's cache can be written, and that no output is a link into it."""
    if error := _writable(config.cache_dir / "files" / "md5"):
        yield Check("cache", "fail", f"{config.cache_dir}: {error.strerror}: every stage stores its outputs there")
    else:
        yield Check("cache", "ok", f"{config.cache_dir} can be written")
    if unsafe := {"hardlink", "symlink"}.intersection(config.link_types):
        what = f"cache.type has {', '.join(sorted(unsafe))}: a write in place would change the cache; set reflink,copy"
        yield Check("cache links", "fail", what)
    else:
        yield Check("cache links", "ok", ", ".join(config.link_types))


def remote(config: DvcConfig) -> Check:
    """Check that the DVC remote answers, if there is one."""
    if config.remote is None:
        return Check("remote", "ok", "none: results stay in this cache; see `dvc remote add`")
    if folder := config.remote_folder:
        if not folder.is_dir():
            return Check(
                "remote", "fail", f"{folder}: no such folder: is it mounted?  Nothing can be shared without it"
            )
        if error := _writable(folder):
            return Check("remote", "warn", f"{folder}: {error.strerror}: restores work, `snakedvc push` does not")
        return Check("remote", "ok", f"{folder} can be written")
    code = (
        "from dvc.repo import Repo; r = Repo().cloud.get_remote(); r.fs.exists(r.fs.join(r.path, 'files')); print('ok')"
    )
    done = run(sys.executable, "-c", code, seconds=60)
    if done.stdout.strip() != "ok":
        return Check("remote", "fail", f"{config.remote}: {last_line(done)}: check `dvc remote list` and your access")
    return Check("remote", "ok", f"{config.remote_url} answers")


def disk(config: DvcConfig) -> Iterator[Check]:
    """Check that there is room for outputs and for the cache."""
    existing = next(p for p in (config.cache_dir, *config.cache_dir.absolute().parents) if p.exists())
    for name, path in (("disk", Path()), ("disk of the cache", existing)):
        free = shutil.disk_usage(path).free / GIB
        state = "fail" if free < 1 else "warn" if free < 20 else "ok"
        advice = "" if state == "ok" else ": `snakedvc gc` says what in the cache can go; outputs may be deleted"
        yield Check(name, state, f"{free:.0f} GiB free{advice}")


def locks() -> Check:
    """Check that `flock` works on this file system: a second process must not get a lock that this one holds."""
    path = TEMPORARY / f"{uuid.uuid4().hex}.lock"
    code = f"import fcntl; fcntl.flock(open({str(path)!r}), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    try:
        with attempt(path):
            held = run(sys.executable, "-c", code)
    except ProjectError as e:
        return Check("locks", "fail", str(e))
    except OSError as e:
        return Check("locks", "fail", f"{TEMPORARY}: {e.strerror}")
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    if held.returncode == 0:
        return Check("locks", "fail", "two processes got the same flock: mount this file system with flock")
    return Check("locks", "ok", "flock works between processes of this machine")
