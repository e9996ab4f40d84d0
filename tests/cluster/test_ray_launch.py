"""Starting Ray and ending with it: real raylets on this machine, a stand-in for verl's driver.

Whatever ends a job, it ends with one line and an exit code, within a minute, and no process of it is left.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cluster_kit import TWO, Launched, free_ports, launched, two_nodes, until, verl_systems
from stage_kit import make_job

from tokenspectrum.errors import UserError
from tokenspectrum.systems.params import VerlSystems
from tokenspectrum.systems.ray import node
from tokenspectrum.systems.ray.cluster import Cluster, count
from tokenspectrum.training.backends.verl.trainer import load_job, save_job, train

LAUNCH = Path(__file__).with_name("stand_in_launch.py")
START_S, END_S = 200.0, 60.0  # of a busy machine; a minute is what a job may take to end


@contextlib.contextmanager
def job(folder: Path, systems: VerlSystems, what: str, **environment: str) -> Iterator[Launched]:
    folder.mkdir()
    command = [sys.executable, str(LAUNCH), str(folder), systems.model_dump_json(), what]
    with launched(command, folder / "launch.log", environment) as one:
        yield one


def seen(folder: Path, one: Launched) -> dict:
    """What the driver found once all was up."""
    file = folder / "seen.json"
    until(lambda: file.exists() or one.process.poll() is not None, START_S, f"up: {one.log.read_text()}")
    assert file.exists(), one.log.read_text()
    return json.loads(file.read_text())


def check_end(one: Launched, code: int, *words: str, within: float = END_S) -> None:
    """Ended in time, with one line that holds `words`, and nothing left."""
    assert one.wait(within) == code, one.log.read_text()
    log = one.log.read_text()
    assert "Traceback" not in log
    if code == 1:
        assert one.last_line.startswith("error: ")
        assert log.count("error: ") == 1, log
        missing = [word for word in words if word not in one.last_line]
        assert not missing, one.last_line
    assert one.processes() == {}


def test_two_nodes_and_sigterm(tmp_path):
    with job(tmp_path / "job", two_nodes(), "work") as one:
        found = seen(tmp_path / "job", one)
        workers = found["workers"]
        assert sorted(w["address"] for w in workers) == ["127.0.0.2", "127.0.0.3"]
        assert len({w["node"] for w in workers}) == 2
        assert found["address"].startswith("127.0.0.2:")
        assert found["mode"] == "0o600"
        for worker in workers:
            assert worker["environment"] == {
                "VERL_PLATFORM": "cpu",
                "VERL_USE_EXTERNAL_MODULES": "tokenspectrum.training.backends.verl.platform_cpu",
                "OMP_NUM_THREADS": "1",
            }
        one.process.send_signal(signal.SIGTERM)
        check_end(one, 75)


def test_two_jobs_on_one_host(tmp_path):
    """They share no port, no token and no job id; what kills one leaves the other alone.

    One has its port from systems.verl, and is stopped before it has written anything.
    """
    (port,) = free_ports(1)
    with (
        job(tmp_path / "a", two_nodes(), "work") as a,
        job(tmp_path / "b", verl_systems(ray_port=port), "nothing") as b,
    ):
        found = [seen(tmp_path / "a", a), seen(tmp_path / "b", b)]
        assert found[0]["address"] != found[1]["address"]
        assert found[1]["address"].endswith(f":{port}")
        assert found[0]["token"] != found[1]["token"]
        assert found[0]["job"] != found[1]["job"]  # verl names a socket after it
        a.kill("raylet/raylet", TWO[1])
        check_end(a, 1, "the Ray node on", TWO[1])
        assert b.process.poll() is None
        b.process.send_signal(signal.SIGTERM)
        check_end(b, 143)


def test_stall(tmp_path):
    with job(tmp_path / "job", verl_systems(stall_timeout=2.0), "hang") as one:
        seen(tmp_path / "job", one)
        check_end(one, 1, "2 s", "stall_timeout")


def test_the_launcher_is_killed(tmp_path):
    """Not even then is anything left, though nobody is there to end it."""
    with job(tmp_path / "job", verl_systems(), "work") as one:
        seen(tmp_path / "job", one)
        one.process.kill()
        one.process.wait()
        until(lambda: not one.processes(), 30, "all processes gone")


def test_driver_ends_with_an_error(tmp_path):
    with job(tmp_path / "job", verl_systems(), "error") as one:
        check_end(one, 1, "the disk of the driver is full", "driver.log", within=START_S)


def test_workers_never_up(tmp_path):
    with job(tmp_path / "job", verl_systems(start_timeout=20.0), "silent") as one:
        check_end(one, 1, "20 s", "start_timeout", within=START_S)


def test_too_few_gpus(tmp_path):
    """Ray counts the GPUs of a CUDA machine itself; where all are hidden there is none."""
    systems = verl_systems(device="cuda", gpus_per_node=8)
    with job(tmp_path / "job", systems, "work", CUDA_VISIBLE_DEVICES="") as one:
        check_end(one, 1, "0", "gpus_per_node", "8", within=START_S)
    assert not (tmp_path / "job" / "seen.json").exists()


def test_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with job(tmp_path / "job", verl_systems(ray_port=port), "work") as one:
            check_end(one, 1, "ray_port", str(port), "in use", within=START_S)


def test_two_nodes_without_slurm_or_addresses(tmp_path):
    with job(tmp_path / "job", verl_systems(nodes=2, node_addresses=None), "work") as one:
        check_end(one, 1, "systems.verl.nodes is 2", "node_addresses", within=START_S)


def test_no_systems(tmp_path):
    job = make_job(tmp_path)
    with pytest.raises(UserError, match=r"systems\.verl is null"):
        train(replace(job, systems=job.systems.model_copy(update={"verl": None})))


def test_job_file(tmp_path):
    job = make_job(tmp_path, {"nodes": 2, "node_addresses": TWO})
    save_job(job, tmp_path / "job.json")
    again = load_job(tmp_path / "job.json")
    assert again == job
    assert again.identity() == job.identity()


def kill_raylet(cluster: Cluster) -> None:
    marked = list(node.marked(lambda mark: mark.startswith(cluster.name)))
    raylets = [pid for pid in marked if b"raylet/raylet" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(raylets) == 1
    os.kill(raylets[0], signal.SIGKILL)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_ray_that_dies_as_it_starts(tmp_path, monkeypatch, capsys, when):
    """Its raylet is killed before anybody asked Ray anything, or while a question waits that gets no answer.

    All starts anew, and a line says so.
    """
    asked = []

    def kill_first(systems, address, *rest):
        asked.append(address)
        if len(asked) == 1:
            kill_raylet(cluster)
            if when == "meanwhile":
                monkeypatch.setattr(sys, "executable", deaf)
        try:
            return count(systems, address, *rest)
        finally:
            monkeypatch.setattr(sys, "executable", python)

    python = sys.executable
    deaf = str(tmp_path / "deaf")  # asks nothing, and waits for ever
    Path(deaf).write_text("#!/bin/sh\nexec sleep 1000\n")
    Path(deaf).chmod(0o700)
    monkeypatch.setattr("tokenspectrum.systems.ray.cluster.count", kill_first)
    with Cluster(verl_systems(), tmp_path / "logs") as cluster:
        began = time.monotonic()
        cluster.start(lambda: False)
        assert time.monotonic() - began < START_S
        assert len(cluster.nodes) == 1
        cluster.check()
        assert cluster.address == asked[-1] != asked[0]
    assert list(node.marked(lambda mark: mark.startswith(cluster.name))) == []
    said = capsys.readouterr().err
    assert said.count("started again") == 1
