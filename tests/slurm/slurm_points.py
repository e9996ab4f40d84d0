"""Kill points: what may happen to a training job, at which step.  For the tests and for benchmarks/slurm_kills.py."""

import contextlib
import os
import random
import signal
import subprocess
from dataclasses import dataclass
from typing import Literal

from pipeline_kit import Clone
from slurm_driver import Driver, Stage, has_pending_sigterm, release
from slurm_kit import Cluster, wait_for

# cancel: scancel by hand.  requeue: by an administrator.  warning: the signal ahead of the time limit.  node: set down.
# kill: of the stage's process, as the kernel does when memory runs out.  driver: kill -9 of Snakemake, started again.
Kind = Literal["cancel", "requeue", "warning", "node", "kill", "driver"]
KINDS: tuple[Kind, ...] = ("cancel", "requeue", "warning", "node", "kill", "driver")
ADDRS = ("train@full-1", "train@low2high_mid-1")


@dataclass(frozen=True)
class Point:
    """`kind` happens to the job of stage `addr` once `step` steps are done."""

    kind: Kind
    addr: str
    step: int


def draw(seed: int, kinds: tuple[Kind, ...], addrs: tuple[str, ...] = ADDRS) -> list[Point]:
    """A point of each kind, the stages in turn, steps 1 to 7 of ten; printed, so that a failure can be had again.

    A stage is hit at steps of its own each time: it goes on a little before it is held, and must not be done by then.
    """
    rng = random.Random(seed)
    steps = {addr: rng.sample(range(1, 8), len(kinds)) for addr in addrs}
    points = [Point(kind, addrs[i % len(addrs)], steps[addrs[i % len(addrs)]][i]) for i, kind in enumerate(kinds)]
    print(f"seed {seed}: {points}")
    return points


def job_of(cluster: Cluster, clone: Clone, addr: str) -> str:
    """The running job of a stage."""
    return wait_for(
        f"a running job of {addr}",
        lambda: next((j.id for j in cluster.jobs(clone.root) if (j.stage, j.state) == (addr, "RUNNING")), ""),
        300,
    )


def strike(cluster: Cluster, clone: Clone, driver: Driver, point: Point, pid: int) -> Driver:
    """Let `point` happen to its stage, held at process `pid`, and let that go; the driver that goes on."""
    job = job_of(cluster, clone, point.addr)
    print(f"{point}: job {job}, process {pid}, after step {Stage(clone, point.addr).progress()['done']}", flush=True)
    if point.kind == "cancel":
        cluster.call("scancel", job)
    elif point.kind == "requeue":
        cluster.call("scontrol", "requeue", job)
    elif point.kind == "warning":
        cluster.call("scancel", "--batch", "--signal=TERM", job)
        wait_for("the signal to reach the stage", lambda: has_pending_sigterm(pid), 120)
    elif point.kind == "node":
        node = cluster.show(job)["BatchHost"]
        cluster.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        wait_for("the job off the node", lambda: cluster.show(job)["JobState"] != "RUNNING", 120)
        # Its slurmd may have reported it back by itself, and then there is nothing to resume.
        with contextlib.suppress(subprocess.CalledProcessError):
            cluster.call("scontrol", "update", f"NodeName={node}", "State=RESUME")
    elif point.kind == "kill":
        os.kill(pid, signal.SIGKILL)
    else:
        driver.kill()
        driver = Driver(clone)
    release(pid)
    if point.kind != "driver":
        wait_for("the process's end", lambda: not os.path.exists(f"/proc/{pid}"), 300)
    return driver


def run_through(cluster: Cluster, clone: Clone, points: list[Point]) -> Driver:
    """Run the command and let every point happen, in order of steps; a stage is held still while it is not its turn."""
    driver, held = Driver(clone), {}
    left = sorted(points, key=lambda p: p.step)
    while left:
        for point in left:
            if point.addr not in held:
                held[point.addr] = Stage(clone, point.addr).hold(point.step, lambda: cluster.hurry(clone.root))
        point = left.pop(0)
        driver = strike(cluster, clone, driver, point, held.pop(point.addr))
    return driver


def settle(cluster: Cluster, clone: Clone, driver: Driver) -> str:
    """Run to the end; what the last driver said."""
    said = driver.finish(cluster)
    wait_for("all jobs ended", lambda: cluster.hurry(clone.root) or not cluster.active(clone.root), 600, every=1)
    return said
