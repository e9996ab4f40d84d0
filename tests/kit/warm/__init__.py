"""A process that has loaded libraries, for the programs that a test's project runs one after the other (server.py)."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
