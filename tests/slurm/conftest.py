"""A Slurm for the session, and the clones that its tests share.

    make test-slurm        apt-get installs slurm-wlm and munge (root), then pytest -n 3 tests/slurm

What it needs: root; Debian's packages slurm-wlm and munge (slurmctld, slurmd, munged, sbatch, ...); an environment with
Snakemake, its Slurm plugin and DVC, and for test_slurm_verl.py with verl and Ray.  The daemons run in a temporary
folder on ports of their own and are ended by pid.  A machine that has a Slurm already is left alone: every test is
skipped, and the reason is printed.

Tests mostly wait, so workers of pytest-xdist share the Slurm, each with a partition of its own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipeline"))

from lanes import Lanes
from pipeline_kit import Clone
from slurm_driver import copy_of, digests, slurm_clone, up_to_training
from slurm_kit import Cluster, obstacle

from snakedvc.dvcfiles.locks import exclusive

# Set by the process that starts the Slurm, for the workers that it starts after that.
FOLDER, WHY_NOT = "TOKENSPECTRUM_TESTS_SLURM", "TOKENSPECTRUM_TESTS_NO_SLURM"
LANE_OF = dict.fromkeys(("test_slurm_table", "test_slurm_resources", "test_slurm_doctor"), "calm")
_own = pytest.StashKey[Cluster]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    """Asked for by `-n`."""
    return Lanes(config, log, LANE_OF)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start slurmctld and its slurmd, before any worker is."""
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    why = obstacle()
    if why is None:
        own = config.stash[_own] = Cluster(Path(tempfile.mkdtemp(prefix="slurm-")))
        try:
            own.start()
            os.environ[FOLDER] = str(own.folder)
            return
        except (AssertionError, subprocess.CalledProcessError) as e:
            why = f"this machine does not let Slurm's daemons run: {getattr(e, 'stderr', '') or e}".strip()
    os.environ[WHY_NOT] = f"NO SLURM TEST RUNS: {why}"
    config.get_terminal_writer().sep("!", os.environ[WHY_NOT], red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop what was started here."""
    if own := session.config.stash.get(_own, None):
        own.stop()
        shutil.rmtree(own.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The session's Slurm."""
    if why := os.environ.get(WHY_NOT):
        pytest.skip(why)
    return Cluster(Path(os.environ[FOLDER]))


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A path that the first worker to want it makes; it is there for all."""
    path = Path(os.environ[FOLDER]) / "shared" / name
    done = path.with_suffix(".done")
    with exclusive(path.with_suffix(".lock")):
        if not done.exists():
            make(path)
            done.touch()
    return path


@pytest.fixture(scope="session")
def untrained(cluster: Cluster) -> Clone:
    """Everything up to the weights, made on this machine: what is killed below is training."""
    return Clone(made_once("untrained", lambda path: slurm_clone(path).make(*up_to_training())))


@pytest.fixture(scope="session")
def reference(untrained: Clone) -> dict[str, str]:
    """What an uninterrupted `snakemake --profile local` makes, by path."""

    def make(path: Path) -> None:
        clone = copy_of(untrained, path.with_name("calm"))
        clone.make()
        path.write_text(json.dumps(digests(clone)))

    return json.loads(made_once("reference.json", make).read_text())
