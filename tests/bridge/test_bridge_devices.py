"""`status` says where results of one stage come from different kinds of device."""

import json

import pytest
from bridge_kit import Toy

from snakedvc.planning.devices import kind
from snakedvc.running.machine import note_bytes

AVX2 = {"gpus": [], "devices": None, "host": "a", "cpu": "Some CPU", "instruction_sets": ["avx", "avx2", "fma"]}
KINDS = [
    ({}, "CPU with AVX2"),
    ({"cpu": "Another CPU", "instruction_sets": ["avx2", "fma", "avx512f"]}, "CPU with AVX2"),
    ({"instruction_sets": ["avx"]}, "Some CPU without AVX2"),
    ({"gpus": ["NVIDIA X1", "NVIDIA X1"]}, "NVIDIA X1"),
    ({"gpus": ["NVIDIA X1"], "devices": "0"}, "NVIDIA X1"),
    ({"gpus": ["NVIDIA X1"], "devices": ""}, "CPU with AVX2"),  # its GPUs were hidden from it
    ({"host": "b"}, "Some CPU of b, which computes other bytes"),
]


@pytest.mark.parametrize(("facts", "name"), KINDS)
def test_the_kind_of_device(facts, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.gethostname", lambda: "b")
    note_bytes(["policy"])
    assert kind(AVX2 | facts) == name
    note_bytes([])
    assert kind(AVX2) == kind(AVX2 | {"host": "b"})


def warnings(toy: Toy) -> list[str]:
    return [line for line in toy.snakedvc("status", check=False).stdout.splitlines() if "kinds of device" in line]


def made_on(toy: Toy, addr: str, **facts: object) -> None:
    """Change what the provenance of a run says of its machine."""
    path = toy.root / "logs" / addr.partition("@")[0] / addr / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_status_names_the_kinds_that_the_results_of_one_stage_come_from(toy):
    assert not warnings(toy)
    for addr in ("train@full-1", "train@full-2", "train@anchor-1", "train@anchor-2", "source"):
        made_on(toy, addr, gpus=[], instruction_sets=["avx2", "fma"])
    made_on(toy, "source", gpus=["NVIDIA X1"])  # one stage on a GPU and another on a CPU compare nothing
    made_on(toy, "train@anchor-2", gpus=["NVIDIA X1"])
    (line,) = warnings(toy)
    assert line.startswith("table: results of train come from different kinds of device: ")
    assert "3 of CPU with AVX2 (train@full-1, ...)" in line
    assert "1 of NVIDIA X1 (train@anchor-2)" in line
    rows = json.loads(toy.snakedvc("status", "--json").stdout)
    assert {row["device"] for row in rows if row["stage"].startswith("train")} == {"CPU with AVX2", "NVIDIA X1"}


def test_a_result_whose_provenance_is_another_runs_has_no_known_kind(toy):
    made_on(toy, "train@anchor-2", gpus=["NVIDIA X1"], key="another")
    made_on(toy, "train@anchor-1", instruction_sets=None)
    (toy.root / "logs/train/train@full-1/provenance.json").write_text("{")
    (toy.root / "logs/train/train@full-2/provenance.json").unlink()
    assert not warnings(toy)
    rows = json.loads(toy.snakedvc("status", "--json").stdout)
    assert {row["device"] for row in rows if row["stage"].startswith("train")} == {None}
