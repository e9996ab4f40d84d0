"""Runs a driver on a Ray cluster: starts Ray, starts the driver, and ends all of it when any part dies.

The driver is a process of its own, so that it can be killed if Ray hangs.  Knows processes, files and exit codes.
Knows nothing of what the driver does.
"""

import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.systems.params import VerlSystems
from tokenspectrum.systems.ray.cluster import Cluster, JoinedCluster
from tokenspectrum.systems.ray.watchdog import Watchdog
from tokenspectrum.systems.sigterm import NOTHING_NEW, STOPPED, stop_signal

ADDRESS_ENV = "TOKENSPECTRUM_RAY_ADDRESS"
JOIN_ENV = "RAY_ADDRESS"  # Ray's own variable for a cluster to join
HEARTBEAT = "heartbeat"
_POLL_S = 0.3
_BLAME_S = 3.0  # to look for a dead node, which explains better why the driver ended
_log = logging.getLogger(__name__)


def supervise(
    command: Sequence[str], systems: VerlSystems, heartbeat: Path, logs: Path, went_on: Callable[[], bool]
) -> None:
    """Run `command` as the driver of a new Ray cluster until it or any part ends.  Then the cluster is removed.

    If RAY_ADDRESS names a cluster, that one is joined instead and is not ended.
    Raises UserError with one line on what went wrong.  If SIGTERM came first, raises SystemExit: with STOPPED if
    `went_on` says that a checkpoint was written since the start, otherwise with NOTHING_NEW.
    """
    logs.mkdir(parents=True, exist_ok=True)
    with stop_signal() as stop:
        try:
            joined = os.environ.get(JOIN_ENV)
            ray = JoinedCluster(systems, joined) if joined else Cluster(systems, logs)
            with ray as cluster, tempfile.TemporaryDirectory(prefix="ts-") as folder:
                cluster.start(stop.is_set)
                if not stop.is_set():
                    _drive(command, cluster, Watchdog(heartbeat, systems), stop, logs, Path(folder))
        except UserError as e:
            if not stop.is_set():
                raise
            # What stops a job may also stop its parts, so a lost part is no error now.  The last checkpoint is valid.
            _log.warning("stopped by SIGTERM, and %s", e)
        if stop.is_set():
            if went_on():
                raise SystemExit(STOPPED)
            _log.warning("stopped by SIGTERM before a checkpoint was written, so nothing is new since it started")
            raise SystemExit(NOTHING_NEW)


def _drive(
    command: Sequence[str],
    cluster: Cluster | JoinedCluster,
    watchdog: Watchdog,
    stop: threading.Event,
    logs: Path,
    folder: Path,
) -> None:
    environment = cluster.client_environment(folder / "token") | {ADDRESS_ENV: cluster.address}
    path = logs / "driver.log"
    _log.info("Ray is up at %s; what the driver says is in %s", cluster.address, path)
    with path.open("ab") as output:
        start = output.tell()
        driver = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    told = False
    try:
        while driver.poll() is None:
            if stop.is_set() and not told:
                told = True
                driver.send_signal(signal.SIGTERM)
            cluster.check()
            watchdog.check()
            time.sleep(_POLL_S)
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
    if driver.returncode == 0:
        stop.clear()  # it came too late to matter
    elif driver.returncode != STOPPED:
        _blame(cluster)
        raise UserError(_last_words(path, start, driver.returncode))


def _blame(cluster: Cluster | JoinedCluster) -> None:
    """Raise UserError if the driver ended because a node did."""
    until = time.monotonic() + _BLAME_S
    while time.monotonic() < until:
        cluster.check()
        time.sleep(_POLL_S)


def _last_words(log: Path, start: int, code: int) -> str:
    """The driver's last error line; if there is none, how it ended."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if said:
        return f"{said[-1]} (see {log})"
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"the driver {how}; see the end of {log}"
