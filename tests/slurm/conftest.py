"""A Slurm for the session, and the clones that its tests share.

    make test-slurm        apt-get installs slurm-wlm and munge (root), then pytest tests/slurm

What it needs: root; Debian's packages slurm-wlm and munge (slurmctld, slurmd, munged, sbatch, ...); an environment with
Snakemake, its Slurm plugin and DVC, and for test_slurm_verl.py with verl and Ray.  The daemons run in a temporary
folder on ports of their own and are ended by pid.  A machine that has a Slurm already is left alone: every test is
skipped, and the reason is printed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipeline"))

from pipeline_kit import Clone
from slurm_driver import copy_of, digests, slurm_clone, up_to_training
from slurm_kit import Cluster, obstacle


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """slurmctld and three slurmd; stopped at the end of the session."""
    if why := obstacle():
        line = f"NO SLURM TEST RUNS: {why}"
        reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
        if reporter:
            reporter.write_sep("!", line, red=True)
        pytest.skip(line)
    own = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        own.start()
        yield own
    finally:
        own.stop()


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Everything up to the weights, made on this machine: what is killed below is training."""
    clone = slurm_clone(tmp_path_factory.mktemp("untrained") / "clone")
    clone.make(*up_to_training())
    return clone


@pytest.fixture(scope="session")
def reference(untrained: Clone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an uninterrupted `snakemake --profile local` makes, by path."""
    clone = copy_of(untrained, tmp_path_factory.mktemp("reference") / "clone")
    clone.make()
    return digests(clone)
