"""`snakemake --profile slurm results/table1.csv`, word for word, on a real Slurm, from an empty cache and again."""

import shutil
from collections import Counter

import pytest
from pipeline_kit import Clone
from slurm_driver import PRESET, Driver, digests, slurm_clone
from slurm_kit import Cluster, Job

# prompts, weights and table1 take seconds and run where the driver runs.
JOBS = {
    "policy@1",
    "sample@1-1",
    "sample@1-2",
    "rollouts@1",
    "tokens@1",
    "evaluate_base@1",
    *(f"{stage}@{method}-1" for stage in ("train", "evaluate") for method in ("full", "low2high_mid")),
}


@pytest.fixture(scope="module")
def table(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, list[Job]]:
    """A clone whose table Slurm made from an empty cache, and the jobs that it took."""
    clone = slurm_clone(tmp_path_factory.mktemp("table") / "clone")
    Driver(clone).finish(cluster)
    return clone, cluster.jobs(clone.root)


def new_jobs(cluster: Cluster, clone: Clone) -> tuple[list[Job], str]:
    """The jobs that one run of the command submits, and what the driver says."""
    before = {job.id for job in cluster.jobs(clone.root)}
    said = Driver(clone).finish(cluster)
    return [job for job in cluster.jobs(clone.root) if job.id not in before], said


def test_from_an_empty_cache_every_long_stage_is_one_job_and_the_bytes_are_those_of_a_local_run(table, reference):
    clone, jobs = table
    assert Counter(job.stage for job in jobs) == Counter(JOBS)  # squeue's comment names the stage
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert len({job.node for job in jobs}) > 1
    assert digests(clone) == reference


def test_again_and_after_all_outputs_were_deleted_nothing_is_submitted(table, cluster, reference):
    clone, _ = table
    assert new_jobs(cluster, clone)[0] == []
    shutil.rmtree(clone.root / "artifacts" / PRESET)
    (clone.root / "results/table1.csv").unlink()
    jobs, said = new_jobs(cluster, clone)
    assert jobs == []
    assert "stages restored" in said
    assert digests(clone) == reference


def test_after_one_change_only_what_it_touches_is_submitted_in_one_array(table, cluster, reference):
    clone, _ = table
    clone.params(lambda data: data["evaluate"].update(top_p=0.8))
    jobs, _ = new_jobs(cluster, clone)
    assert {job.stage for job in jobs} == {"evaluate@full-1", "evaluate@low2high_mid-1", "evaluate_base@1"}
    arrays = Counter(job.id.partition("_")[0] for job in jobs if "_" in job.id)
    assert list(arrays.values()) == [2]
    assert (clone.root / "results/table1.csv").read_bytes()
    # The old variant comes back from the cache, without a job.
    clone.params(lambda data: data["evaluate"].update(top_p=0.7))
    assert new_jobs(cluster, clone)[0] == []
    assert digests(clone) == reference
