"""A process that has loaded libraries, for the programs that a test's project runs one after the other (server.py)."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kit.warm.site.asking import ask

HERE = Path(__file__).parent
SITE = HERE / "site"


@contextmanager
def warm_server(folder: Path, *kinds: str) -> Iterator[Path]:
    """The socket of such a process; `kinds` of libraries: stages, driver."""
    where, environment = folder / "warm", os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, str(HERE / "server.py"), str(where), *kinds], env=environment)
    try:
        while not where.exists():
            assert process.poll() is None, "server.py ended"
            time.sleep(0.05)
        yield where
    finally:
        process.kill()
        process.wait()


def use(environment: dict[str, str], where: Path | None) -> dict[str, str]:
    """The environment of a program that begins there, and of all that it starts."""
    if where is None:
        return environment
    path = os.pathsep.join(filter(None, [environment.get("PYTHONPATH"), str(SITE)]))
    return environment | {"PYTHONPATH": path, "TOKENSPECTRUM_WARM": str(where)}


def run(where: Path, argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What `python ARGV` would do, in a copy: a module after `-m`, or a script.  Its output is captured."""
    with open(os.devnull) as nothing, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        status = ask(str(where), argv, environment, [stream.fileno() for stream in (nothing, out, err)])
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(argv, status, out.read(), err.read())
