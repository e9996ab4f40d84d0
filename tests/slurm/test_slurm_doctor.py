"""`spectrum doctor` asks a real Slurm: what it would accept, and one tiny job on a node."""

from pipeline_kit import Clone
from slurm_driver import copy_of, edit_site
from slurm_kit import Cluster, wait_for

from tokenspectrum.results.discover import results

# The jobs that ask for more memory than a node of the tests has.
LARGE = tuple(name for name, result in results().items() if result.resources.get("mem_mb", 0) > 8000)


def doctor(clone: Clone, *options: str) -> tuple[int, list[str]]:
    """Its exit status, and its lines with single spaces."""
    done = clone.run("spectrum", "doctor", *options, check=False, COLUMNS="200")
    return done.returncode, [" ".join(line.split()) for line in done.stdout.splitlines()]


def test_a_tiny_job_answers_from_a_node(cluster: Cluster, untrained, tmp_path):
    clone = copy_of(untrained, tmp_path / "clone")
    less = "".join(f"  {name}:\n    mem_mb: 8000\n" for name in LARGE)
    edit_site(clone, {"# set-resources:\n": f"set-resources:\n{less}"})
    status, lines = doctor(clone, "--submit")
    assert status == 0, lines
    for start in ("slurm ok answers; partitions calm, cpu*", "job states ok by squeue", "python on nodes ok"):
        assert any(line.startswith(start) for line in lines), (start, lines)
    assert any("saw this folder and answered in it" in line for line in lines)
    # The answer is there before the job has ended.
    wait_for("the job's end", lambda: not cluster.active(clone.root), 120)
    assert [job.state for job in cluster.jobs(clone.root)] == ["COMPLETED"]
    assert not list((clone.root / ".dvc/tmp/doctor").glob("*"))


def test_a_partition_that_is_not_there_and_memory_that_no_node_has_are_named(cluster, untrained, tmp_path):
    clone = copy_of(untrained, tmp_path / "clone")
    edit_site(clone, {"# set-resources:\n": "set-resources:\n  policy:\n    slurm_partition: nowhere\n"})
    status, lines = doctor(clone)
    assert status == 1
    policy, layers = [line for line in lines if " fail " in line]
    assert "policy: --partition=nowhere" in policy
    assert "invalid partition" in policy.lower()
    assert f"{', '.join(LARGE)}: " in layers
    assert "--mem=16000" in layers
    assert {line.rpartition(": ")[2] for line in (policy, layers)} == {"edit slurm/profile.yaml"}
    assert cluster.jobs(clone.root) == []
