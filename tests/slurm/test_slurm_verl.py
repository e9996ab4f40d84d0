"""The train stage on verl in one allocation of two Slurm nodes, requeued in the middle: one raylet a node, one job."""

import json
import shutil

import pytest
from slurm_driver import PRESET, Driver, Stage, copy_of
from slurm_kit import wait_for
from slurm_points import job_of, settle

ADDR = "train@full-1"
TARGET = f"artifacts/{PRESET}/train/full-s1/policy"
ADDRESSES = ["127.0.0.2", "127.0.0.3"]  # both nodes are on this host
STEPS = 5

pytest.importorskip("verl", reason="the cluster environment is not installed: make test-slurm")


def on_two_nodes(data):
    data["train"].update(trainer="verl", steps=STEPS)
    data["systems"].update(checkpoint_every=1)
    data["systems"]["verl"].update(nodes=2, gpus_per_node=1, node_addresses=ADDRESSES, gpu_memory_utilization=0.5)


def test_two_nodes_train_one_policy_and_go_on_after_a_requeue(cluster, untrained, tmp_path):
    clone = copy_of(untrained, tmp_path / "clone", "verl")
    clone.params(on_two_nodes)
    driver, stage = Driver(clone, TARGET), Stage(clone, ADDR)
    try:
        job = wait_for("its job", lambda: any_job(cluster, clone) or not driver.running(), 600)
        assert driver.running()
        wait_for("a checkpoint", lambda: stage.progress().get("done", 0) >= 2 or not driver.running(), 900)
        assert cluster.show(job)["NumNodes"] == "2"
        cluster.call("scontrol", "requeue", job)
        settle(cluster, clone, driver)
    except AssertionError:
        output = clone.root / f"logs/train/{ADDR}/output.log"
        print(output.read_text()[-8000:] if output.exists() else "no output", driver.said()[-4000:])
        raise
    (trained,) = cluster.jobs(clone.root)
    assert (trained.id, trained.state, cluster.show(job)["Restarts"]) == (job, "COMPLETED", "1")
    log = "".join(path.read_text(errors="replace") for path in (clone.root / f"logs/train/{ADDR}").glob("*.log"))
    assert "resuming after step" in log
    placed = json.loads((clone.root / f"logs/train/{ADDR}/placement.json").read_text())
    assert sorted(one["address"] for one in placed["actors"]) == ADDRESSES
    assert (clone.root / TARGET / f"step={STEPS:05d}/model.safetensors").stat().st_size
    metrics = sorted((clone.root / f"artifacts/{PRESET}/metrics").rglob("step=*"))
    assert [int(p.name.removeprefix("step=")) for p in metrics if p.is_dir()] == list(range(1, STEPS + 1))
    # What the cache has needs no nodes.
    for name in ("train", "metrics"):
        shutil.rmtree(clone.root / f"artifacts/{PRESET}/{name}")
    Driver(clone, TARGET).finish(cluster)
    assert cluster.jobs(clone.root) == [trained]
    assert (clone.root / TARGET / f"step={STEPS:05d}/model.safetensors").stat().st_size


def any_job(cluster, clone):
    """The id of a running training job, once there is one."""
    running = [j for j in cluster.jobs(clone.root) if j.state == "RUNNING" and j.stage == ADDR]
    return job_of(cluster, clone, ADDR) if running else ""
