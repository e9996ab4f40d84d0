"""Trainer `verl`: the same DAPO on Ray, FSDP2 and vLLM, on as many nodes as there are.

The loop runs in a driver process (driver.py).  systems/ray/launch.py starts it and watches it.  Knows how a job reaches
the driver: as a file.  Imports nothing of verl.
"""

import importlib.util
import json
import sys
from dataclasses import fields
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.train import TrainParams
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.progress import log_dir
from tokenspectrum.systems.ray.launch import HEARTBEAT, supervise
from tokenspectrum.tokenlog.writer import write_json
from tokenspectrum.training.checkpoint import checkpoints
from tokenspectrum.training.job import TrainJob
from tokenspectrum.weighting.registry import rule_of

_MODELS = {"train": TrainParams, "sampling": SamplingParams, "reward": RewardParams, "systems": SystemsParams}


def train(job: TrainJob) -> None:
    """Train to the last step and publish job.out.  Raises UserError on bad input, SystemExit(STOPPED) after SIGTERM."""
    for package in ("verl", "ray", "vllm"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"train.trainer: {package} is not installed here; pip install '.[cluster]', or use local")
    systems = job.systems.verl
    if systems is None:
        raise UserError("train.trainer is verl, but systems.verl is null; say there which machines to use")
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    file = job.checkpoints / "job.json"
    save_job(job, file)
    command = [sys.executable, "-m", "tokenspectrum.training.backends.verl.driver", "--job", str(file.resolve())]
    before = set(checkpoints(job.checkpoints))
    logs = log_dir() or job.checkpoints / "logs"
    supervise(
        command, systems, job.checkpoints / HEARTBEAT, logs, lambda: not before.issuperset(checkpoints(job.checkpoints))
    )


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
    write_json(file, data)


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
