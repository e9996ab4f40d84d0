"""What this machine lacks is said before anything runs, for the stages that are planned and no other."""

from pathlib import Path

import pytest

from tokenspectrum.params.presets import read_preset
from tokenspectrum.systems import fit

PRESETS = Path(__file__).resolve().parents[2] / "presets"
CUDA = {"systems.device": "cuda"}
VERL = {"train.trainer": "verl", "systems.verl.device": "cuda"}
VLLM = {"rollouts.engine": "vllm", "systems.vllm.device": "cuda"}


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch):
    monkeypatch.setattr(fit, "_has_gpu", lambda: False)
    monkeypatch.setattr(fit.importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    ("changes", "stages", "here", "said"),
    [
        ({}, {"train", "sample", "tokens", "evaluate"}, True, []),
        (CUDA, {"tokens"}, True, ["systems.device: cuda"]),
        (CUDA, {"sample"}, True, ["systems.device: cuda"]),
        (CUDA, {"sample"}, False, []),
        (CUDA, {"prompts", "table1"}, True, []),
        (VERL, {"train"}, True, ["train.trainer: verl, but there is no verl", "systems.verl.device: cuda"]),
        (VERL, {"train"}, False, ["train.trainer: verl, but there is no verl"]),
        (VERL, {"table1"}, True, []),
        (VLLM, {"sample"}, True, ["rollouts.engine: vllm", "systems.vllm.device: cuda"]),
        (VLLM, {"evaluate"}, True, []),
    ],
)
def test_only_what_planned_stages_need_is_missed(changes, stages, here, said):
    params = read_preset("tiny", PRESETS, changes=changes).params
    found = list(fit.unfit(params, stages, here))
    assert [line[: len(start)] for line, start in zip(found, said, strict=True)] == said
