"""Params of training: what does not fit together is one clear line."""

import pytest
from kit.jobs import TRAIN

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import parse_section
from tokenspectrum.params.train import TrainParams
from tokenspectrum.stages import train as stage


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mini_batches": 3}, "mini_batches 3 does not divide prompts_per_step 4"),
        ({"betas": [0.9, 1.0]}, "betas .* below 1"),
        ({"keep_steps": [5]}, "keep_steps has 5, outside 1 to steps = 4"),
        ({"clip": {"low": 0.2, "high": 0.28, "dual": 0.5}}, "train.clip.dual: .*greater than 1"),
        ({"token_log": {**TRAIN["token_log"], "attention": "none"}}, "row_stats needs attention: streaming"),
        ({"token_log": {**TRAIN["token_log"], "layers": ["middle"]}}, r"train.token_log.layers"),
        ({"learning_rat": 1.0}, "train.learning_rat: unknown key"),
        ({"steps": 1.5}, "train.steps: .*integer"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, change, message) -> None:
    with pytest.raises(UserError, match=message) as e:
        parse_section(tmp_path / "params.yaml", {"train": {**TRAIN, **change}}, "train", TrainParams)
    assert "\n" not in str(e.value)


def test_a_trainer_that_is_not_here_is_refused(tmp_path, monkeypatch, make_job) -> None:
    job = make_job("a", train={"trainer": "verl"})
    monkeypatch.setattr(stage, "read_sections", lambda **_: (job.train, job.sampling, job.reward, job.systems))
    monkeypatch.setattr(stage, "read_rule", lambda _: job.rule)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    words = f"--prompts {job.prompts} --policy {job.policy} --rule r --out {job.out} --metrics {job.metrics} --run a"
    with pytest.raises(UserError, match=r"train\.trainer: verl is not installed here; pip install"):
        stage.main([*words.split(), "--preset", "p", "--policy-name", "q", "--seed", "1"])
