"""What jobs ask for: nodes and GPUs from the params, the rest from the profile, as Slurm itself shows it."""

import pytest
from pipeline_kit import ROOT
from slurm_driver import Driver, copy_of, edit_site
from slurm_kit import wait_for

from tokenspectrum.params.base import load_yaml
from workflow.resources import cluster_resources


@pytest.mark.parametrize(
    ("stage", "asked"),
    [
        ("train", {"nodes": 4, "gres": "gpu:8", "mpi": "srun", "tasks": 4, "tasks_per_gpu": 0}),
        ("rollouts", {"nodes": 1, "gres": "gpu:8"}),
        ("evaluate", {"nodes": 1, "gres": "gpu:8"}),
        ("evaluate_base", {"nodes": 1, "gres": "gpu:8"}),
        ("tokens", {"nodes": 1, "gres": "gpu:1"}),
    ],
)
def test_nodes_and_gpus_follow_the_params(stage, asked):
    assert cluster_resources(stage, load_yaml(ROOT / "presets/qwen3-8b.yaml")) == asked
    assert cluster_resources(stage, load_yaml(ROOT / "presets/tiny.yaml")) == {}


def test_a_training_job_of_verl_asks_slurm_for_its_nodes_and_gpus(cluster, untrained, tmp_path):
    clone = copy_of(untrained, tmp_path / "clone")

    def on_gpus(data):
        data["methods"] = ["full"]
        data["train"]["trainer"] = "verl"
        data["systems"]["verl"].update(device="cuda", nodes=2, gpus_per_node=4)

    clone.params(on_gpus)
    edit_site(
        clone,
        {"    # slurm_partition: \"'gpu'\"\n    # constraint": "    slurm_partition: \"'gpu'\"\n    # constraint"}
        | {"# set-threads:\n#   train: 64": "set-threads:\n  train: 2"},
    )
    cluster.call("scontrol", "update", "PartitionName=gpu", "State=DOWN")
    driver = Driver(clone)
    try:
        (job,) = wait_for("its job", lambda: [j for j in cluster.active() if "rule_train" in j.stage], 120)
        shown = cluster.show(job.id)
    finally:
        driver.stop()
        cluster.call("scontrol", "update", "PartitionName=gpu", "State=UP")
    assert (shown["Partition"], shown["TimeLimit"], shown["Requeue"]) == ("gpu", "1-00:00:00", "1")
    assert (shown["NumNodes"], shown["NumTasks"], shown["CPUs/Task"]) in {("2", "2", "2"), ("2-2", "2", "2")}
    assert (shown["TresPerNode"], shown["MinMemoryNode"]) == ("gres:gpu:4", "8000M")
    assert job.stage == "rule_train_wildcards_full_1"
    # Ctrl-C on the driver cancels what it submitted.
    wait_for("its end", lambda: job.id not in {j.id for j in cluster.active()}, 30)
