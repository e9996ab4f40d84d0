"""Start a run on verl and see it through: Ray, the driver, and the end of all of it when any part dies.

The driver (main.py) is a process of its own, because it must die where Ray hangs.  Knows processes, files and exit
codes.  Knows nothing of training; what a run publishes, the driver publishes.
"""

import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.train import TrainParams
from tokenspectrum.systems.params import SystemsParams, VerlSystems
from tokenspectrum.systems.progress import log_dir
from tokenspectrum.systems.ray.cluster import Cluster, JoinedCluster
from tokenspectrum.systems.ray.watchdog import Watchdog
from tokenspectrum.training.backends.local.trainer import STOPPED, stop_signal
from tokenspectrum.training.job import TrainJob
from tokenspectrum.weighting.registry import rule_of

ADDRESS_ENV = "TOKENSPECTRUM_RAY_ADDRESS"
JOIN_ENV = "RAY_ADDRESS"  # Ray's own word for a cluster to join
HEARTBEAT = "heartbeat"
_POLL_S = 0.3
_BLAME_S = 3.0  # a node that died takes the driver with it, and is the better explanation
_MODELS = {"train": TrainParams, "sampling": SamplingParams, "reward": RewardParams, "systems": SystemsParams}
_log = logging.getLogger(__name__)


def train(job: TrainJob) -> None:
    """Train to the last step and publish job.out.  Raises UserError on bad input, SystemExit(STOPPED) after SIGTERM."""
    systems = job.systems.verl
    if systems is None:
        raise UserError("train.trainer is verl, but systems.verl is null; say there which machines to use")
    for package in ("ray", "verl", "vllm"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"train.trainer is verl, but {package} is not installed; pip install .[cluster]")
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    file = job.checkpoints / "job.json"
    save_job(job, file)
    command = [sys.executable, "-m", "tokenspectrum.training.backends.verl.main", "--job", str(file.resolve())]
    supervise(command, systems, job.checkpoints / HEARTBEAT, log_dir() or job.checkpoints / "logs")


def supervise(command: Sequence[str], systems: VerlSystems, heartbeat: Path, logs: Path) -> None:
    """Run `command` as the driver of a Ray cluster of its own, to its end or that of any part; then nothing is left.

    Where RAY_ADDRESS names a cluster, that is joined instead, and stays.
    Raises UserError with one line on what went wrong, SystemExit(STOPPED) when SIGTERM came first.
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
            # Whoever stops a job may well stop its parts too; the last checkpoint stands.
            _log.warning("stopped by SIGTERM, and %s", e)
        if stop.is_set():
            raise SystemExit(STOPPED)


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
    _log.info("Ray is up at %s; what verl says is in %s", cluster.address, path)
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
    """Raise UserError where the driver ended because a node did."""
    until = time.monotonic() + _BLAME_S
    while time.monotonic() < until:
        cluster.check()
        time.sleep(_POLL_S)


def _last_words(log: Path, start: int, code: int) -> str:
    """The driver's own last line of error, else how it ended."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if said:
        return f"{said[-1]} (see {log})"
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"verl's driver {how}; see the end of {log}"


def save_job(job: TrainJob, file: Path) -> None:
    """The whole of `job` as JSON, its paths absolute."""
    data = {}
    for field in fields(TrainJob):
        value = getattr(job, field.name)
        if field.name == "rule":
            value = json.loads(value.to_json())
        elif field.name in _MODELS:
            value = value.model_dump(mode="json")
        elif isinstance(value, Path):
            value = str(value.resolve())
        data[field.name] = value
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, file)


def load_job(file: Path) -> TrainJob:
    """The inverse of `save_job`."""
    data = json.loads(file.read_text())
    for field in fields(TrainJob):
        value = data[field.name]
        if field.name == "rule":
            data[field.name] = rule_of(value, str(file))
        elif field.name in _MODELS:
            data[field.name] = _MODELS[field.name].model_validate_json(json.dumps(value))
        elif field.type in (Path, "Path"):
            data[field.name] = Path(value)
    return TrainJob(**data)
