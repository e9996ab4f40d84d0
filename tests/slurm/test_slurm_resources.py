"""What jobs ask for, as Slurm itself shows it: nodes and GPUs from the params, the rest from the profile."""

import pytest
from pipeline_kit import ROOT
from slurm_driver import PRESET, Driver, copy_of, edit_site
from slurm_kit import wait_for

from tokenspectrum.params.presets import read_preset
from tokenspectrum.systems.resources import cluster_resources

CARDS = {"nodes": 1, "gres": "gpu:8", "tasks_per_gpu": 0, "gpu_jobs": 1}


@pytest.mark.parametrize(
    ("stage", "asked"),
    [
        ("train", CARDS | {"nodes": 4, "mpi": "srun", "tasks": 4}),
        ("sample", CARDS),
        ("evaluate", CARDS),
        ("evaluate_base", CARDS),
        ("tokens", CARDS | {"gres": "gpu:1"}),
        ("gradients", CARDS | {"gres": "gpu:1"}),
        ("signals", CARDS),
        ("hot_forks", CARDS),
    ],
)
def test_nodes_and_gpus_follow_the_params(stage, asked):
    assert cluster_resources(stage, read_preset("qwen3-8b", ROOT / "presets").data) == asked
    assert cluster_resources(stage, read_preset("tiny", ROOT / "presets").data) == {}


def test_a_training_job_of_verl_asks_slurm_for_its_nodes_and_gpus(cluster, untrained, tmp_path):
    clone = copy_of(untrained, tmp_path / "clone")

    def on_gpus(data):
        data["methods"] = ["full"]
        data["train"]["trainer"] = "verl"
        data["systems"]["verl"].update(device="cuda", nodes=2, gpus_per_node=4)

    clone.params(on_gpus)
    edit_site(
        clone,
        {"# set-resources:\n": "set-resources:\n  train:\n    slurm_partition: gpu\n"}
        | {"# set-threads:\n#   train: 64": "set-threads:\n  train: 2"},
    )
    cluster.call("scontrol", "update", "PartitionName=gpu", "State=DOWN")
    driver = Driver(clone)
    try:
        (job,) = wait_for("its job", lambda: [j for j in cluster.active(clone.root) if "rule_train" in j.stage], 600)
        shown = cluster.show(job.id)
    finally:
        driver.stop()
        cluster.call("scontrol", "update", "PartitionName=gpu", "State=UP")
    assert (shown["Partition"], shown["TimeLimit"], shown["Requeue"]) == ("gpu", "1-00:00:00", "1")
    assert (shown["NumNodes"], shown["NumTasks"], shown["CPUs/Task"]) in {("2", "2", "2"), ("2-2", "2", "2")}
    assert (shown["TresPerNode"], shown["MinMemoryNode"]) == ("gres:gpu:4", "8000M")
    assert job.stage == "rule_train_wildcards_full_1"
    # Ctrl-C on the driver cancels what it submitted.
    wait_for("its end", lambda: job.id not in {j.id for j in cluster.active(clone.root)}, 300)


def test_a_stage_that_fails_is_tried_again_later_and_its_log_says_why(cluster, untrained, tmp_path):
    clone = copy_of(untrained, tmp_path / "clone")
    edit_site(clone, {"retries: 2": "retries: 1"})
    code = clone.root / "src/tokenspectrum/stages/evaluate_base.py"
    text = code.read_text()
    code.write_text(text.replace("def main(", "raise SystemExit('error: on purpose')\n\n\ndef main(", 1))
    driver = Driver(clone, f"artifacts/{PRESET}/evaluate_base/s1")
    with pytest.raises(AssertionError, match="exit 1"):
        driver.finish(cluster, hurry=False)
    tries = cluster.jobs(clone.root)
    assert [(job.stage, job.state) for job in tries] == [("evaluate_base@1", "FAILED")] * 2
    eligible = [cluster.show(job.id)["EligibleTime"] for job in tries]
    submitted = [cluster.show(job.id)["SubmitTime"] for job in tries]
    assert eligible[0] == submitted[0]
    assert eligible[1] > submitted[1]
    (log,) = (clone.root / "logs/slurm/rule_evaluate_base").rglob(f"{tries[0].id}.log")
    assert "evaluate_base@1: on purpose" in log.read_text()
    assert "on purpose" in (clone.root / "logs/evaluate_base/evaluate_base@1/output.log").read_text()
