"""A job that joins a Ray which runs already: it uses it, ends, and leaves it as it was."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_kit import verl_systems
from test_ray_launch import check_end, job, seen

from tokenspectrum.systems.ray.cluster import Cluster


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[tuple[Cluster, dict[str, str]]]:
    """One node with one GPU, which is a word here; and the environment that joins it."""
    folder = tmp_path_factory.mktemp("ray")
    with Cluster(verl_systems(), folder / "logs") as cluster:
        cluster.start(lambda: False)
        client = cluster.client_environment(folder / "token")
        wanted = {key: value for key, value in client.items() if key.startswith(("RAY_AUTH", "VERL_"))}
        yield cluster, wanted | {"RAY_ADDRESS": cluster.address}


def test_joins_and_leaves(running, tmp_path: Path):
    cluster, environment = running
    with job(tmp_path / "job", verl_systems(device="cuda"), "work", **environment) as one:
        assert seen(tmp_path / "job", one)["address"] == cluster.address
        # The driver alone: no Ray was started.
        assert one.processes("raylet/raylet") == {}
        one.process.send_signal(signal.SIGTERM)
        check_end(one, 75)
    cluster.check()


def test_more_gpus_than_it_has(running, tmp_path: Path):
    with job(tmp_path / "job", verl_systems(device="cuda", gpus_per_node=2), "work", **running[1]) as one:
        check_end(one, 1, "1 GPUs", "gpus_per_node", "2")


def test_more_nodes_than_it_has(running, tmp_path: Path):
    with job(tmp_path / "job", verl_systems(device="cuda", nodes=2, node_addresses=None), "work", **running[1]) as one:
        check_end(one, 1, "1 of the 2 nodes")


def test_not_for_trials_without_a_gpu(running, tmp_path: Path):
    with job(tmp_path / "job", verl_systems(), "work", **running[1]) as one:
        check_end(one, 1, "RAY_ADDRESS", "systems.verl.device is cpu")
