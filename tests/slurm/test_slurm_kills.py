"""Jobs that are cancelled, requeued, warned, or lose their node or their driver: the bytes are those of a calm run."""

import os

from slurm_driver import Driver, Stage, copy_of, digests, edit_site, has_pending_sigterm, release
from slurm_kit import Cluster, wait_for
from slurm_points import draw, job_of, run_through, settle, strike

SEED = int(os.environ.get("SLURM_KILLS_SEED", "1"))


def test_a_requeued_job_and_one_whose_node_went_down_go_on_as_the_same_jobs(cluster, untrained, reference, tmp_path):
    clone = copy_of(untrained, tmp_path / "clone", "kills")
    points = draw(SEED, ("requeue", "node"))
    settle(cluster, clone, run_through(cluster, clone, points))
    trained = [job for job in cluster.jobs(clone.root) if job.stage.startswith("train@")]
    assert sorted(job.stage for job in trained) == sorted(p.addr for p in points)
    assert {cluster.show(job.id)["Restarts"] for job in trained} == {"1"}
    # Checkpoints are every two steps.
    for point in points:
        if point.step >= 2:
            assert Stage(clone, point.addr).resumed()[0] >= point.step - 1
    assert digests(clone) == reference


def test_a_driver_that_is_killed_is_started_again_and_its_jobs_are_not_run_twice(
    cluster, untrained, reference, tmp_path
):
    clone = copy_of(untrained, tmp_path / "clone", "kills")
    first = Driver(clone)
    addr = "train@full-1"
    pid = Stage(clone, addr).hold(2)
    job = job_of(cluster, clone, addr)
    first.kill()
    second = Driver(clone)
    # The second driver's job starts, sees the first's at work, and waits in the queue instead of on a node.
    wait_for(
        "a job queued behind the first driver's",
        lambda: [j for j in cluster.active(clone.root) if f"afterany:{job}" in cluster.show(j.id)["Dependency"]],
        600,
    )
    release(pid)
    settle(cluster, clone, second)
    ran = [entry["addr"] for entry in clone.journal() if entry["how"] == "ran"]
    assert ran.count(addr) == 1
    assert Stage(clone, addr).resumed() == []
    assert digests(clone) == reference


def test_a_cancelled_job_is_submitted_anew_and_one_that_runs_out_of_time_requeues_itself(
    cluster: Cluster, untrained, reference, tmp_path
):
    clone = copy_of(untrained, tmp_path / "clone", "kills")
    # Slurm looks every half a minute: the signal comes 40 to 10 seconds ahead of the end.
    edit_site(clone, {"--signal=B:TERM@300": "--signal=B:TERM@10"})
    driver = Driver(clone)
    timed = Stage(clone, "train@low2high_mid-1")
    pid = timed.hold(3)
    job = job_of(cluster, clone, timed.addr)
    cluster.limit(job, seconds=30)
    (point,) = draw(SEED, ("cancel",))
    try:
        driver = strike(cluster, clone, driver, point, Stage(clone, point.addr).hold(point.step))
        wait_for("the signal ahead of the time limit", lambda: has_pending_sigterm(pid), 300)
    finally:
        release(pid)
    settle(cluster, clone, driver)
    assert cluster.show(job)["Restarts"] == "1"
    assert cluster.show(job)["JobState"] == "COMPLETED"
    # From a checkpoint: of the step at which it was told, or of the one before (every two steps).
    assert timed.resumed()[0] >= 2
    hows = [entry["how"] for entry in clone.journal() if entry["addr"] == timed.addr]
    assert hows == ["stopped", "ran"]
    assert digests(clone) == reference
