"""The train stage on verl as a user starts it, stopped in the middle and started again: one pair of launches for all.

A random policy of 2 layers over 41 characters, dynamic sampling on, every step's policy kept.
"""

import atexit
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from kit import jobs
from kit.policy import write_letters
from kit.rules import ANCHOR

from tokenspectrum.systems.params import VerlSystems
from tokenspectrum.training.job import TrainJob

STEPS, STOP_AT, EVERY = 6, 3, 2
RUN, SEED = "method", 1
LIMIT_S = 600
# The rule reads the last layer at each token's own query; the log holds the other layer too.
RULE = ANCHOR.model_copy(update={"layer": 1, "alignment": "token"})
TRAIN = {
    "trainer": "verl",
    "steps": STEPS,
    "keep_steps": list(range(1, STEPS)),
    "learning_rate": 0.002,
    "dynamic_sampling": {"max_batches": 2},
    "token_log": {"layers": ["rule", 0]},
}
VERL = {
    "device": "cpu",
    "nodes": 1,
    "gpus_per_node": 1,
    "tensor_parallel": 1,
    "gpu_memory_utilization": 0.5,
    # Less than half of a rollout batch: several micro-batches.
    "max_tokens_per_gpu": 128,
    "gradient_checkpointing": False,
    "offload": False,
    "ray_port": None,
    "node_addresses": ("127.0.0.1",),
    "start_timeout": 480.0,
    "stall_timeout": 120.0,
}


@dataclass(frozen=True)
class Ended:
    """One launch of the stage: its exit code, what its driver logged, and the seconds that it took."""

    code: int
    log: str
    seconds: float


@dataclass(frozen=True)
class Interrupted:
    """A run that SIGTERM stopped and the same command finished, its newest checkpoint damaged in between.

    before     the workspace as the first launch left it
    saved      steps of the checkpoints that the first launch left
    """

    job: TrainJob
    logs: Path
    before: Path
    saved: list[int]
    first: Ended
    second: Ended

    @property
    def policies(self) -> dict[int, Path]:
        """The policy that each step sampled from."""
        kept = {step + 1: self.job.out / "policy" / f"step={step:05d}" for step in range(1, STEPS)}
        return {1: self.job.policy} | kept


def write_policy(path: Path) -> Path:
    """The policy of `letters` with a head dimension that vLLM has kernels for on a CPU."""
    return write_letters(path, head_dim=32)


def make_job(root: Path, verl: dict | None = None) -> TrainJob:
    prompts = root / "prompts"
    prompts.mkdir(parents=True)
    return jobs.make_job(
        root,
        jobs.write_prompts(prompts, 24),
        write_policy(root / "policy"),
        rule=RULE,
        train=TRAIN,
        systems={"verl": VerlSystems(**VERL | (verl or {})), "checkpoint_every": EVERY},
    )


def start(job: TrainJob, root: Path) -> subprocess.Popen:
    """The train stage on `job`, params and rule in `root`, logs in root/logs."""
    sections = {name: getattr(job, name).model_dump(mode="json") for name in ("train", "sampling", "reward", "systems")}
    (root / "params.yaml").write_text(yaml.safe_dump(sections))
    (root / "rule.json").write_text(job.rule.to_json())
    folders = {"prompts": job.prompts, "policy": job.policy, "rule": root / "rule.json", "out": job.out}
    words = folders | {"metrics": job.metrics, "run": job.run, "preset": job.preset, "policy-name": job.policy_name}
    command = [sys.executable, "-m", "tokenspectrum.stages.train", "--seed", str(job.seed)]
    command += [word for name, value in words.items() for word in (f"--{name}", str(value))]
    env = os.environ | {
        "OMP_NUM_THREADS": "1",
        "SNAKEDVC_LOG_DIR": str(root / "logs"),
        "SNAKEDVC_CHECKPOINT_DIR": str(job.checkpoints),
    }
    with (root / "stage.out").open("ab") as out:
        return subprocess.Popen(command, cwd=root, env=env, stdout=out, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen, root: Path, began: float) -> Ended:
    """Wait for the stage; kill it where it hangs."""
    try:
        process.wait(LIMIT_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    logs = [root / "stage.out", root / "logs" / "driver.log"]
    text = "".join(path.read_text(errors="replace") for path in logs if path.exists())
    return Ended(process.returncode, text, time.monotonic() - began)


def metrics_of(job: TrainJob, step: int) -> Path:
    """The file by which a step shows that it is done, in the workspace."""
    return job.checkpoints / f"outputs/metrics/metrics/run={RUN}/seed={SEED}/step={step}/part-0.parquet"


@functools.cache
def interrupted_run() -> Interrupted:
    """Run the stage, send it SIGTERM after STOP_AT steps, damage its newest checkpoint, and run it again."""
    root = Path(tempfile.mkdtemp(prefix="ts-train-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    job = make_job(root)
    began = time.monotonic()
    process = start(job, root)
    while not metrics_of(job, STOP_AT).exists() and process.poll() is None and time.monotonic() < began + LIMIT_S:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    first = finish(process, root, began)
    before = root / "before"
    if (job.checkpoints / "outputs").is_dir():
        shutil.copytree(job.checkpoints / "outputs", before)
    saved = sorted(int(path.name.removeprefix("step=")) for path in job.checkpoints.glob("step=*"))
    if saved:
        shard = job.checkpoints / f"step={saved[-1]:05d}/actor/optim_world_size_1_rank_0.pt"
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)
    # As a killed run leaves them: a table of a step that no checkpoint knows, and half a checkpoint.
    stray = metrics_of(job, STEPS + 1)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"half a fi")
    (job.checkpoints / f".step={STEPS:05d}.tmp").mkdir()
    began = time.monotonic()
    second = finish(start(job, root), root, began)
    return Interrupted(job, root / "logs", before, saved, first, second)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
