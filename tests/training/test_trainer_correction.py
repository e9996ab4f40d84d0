"""Truncated importance sampling: rho by its formula, what it does to an update, and what a run logs of it."""

import json
import math
from dataclasses import replace

import pytest
import torch
from kit.jobs import train_params
from kit.responses import response
from kit.rules import LOW2HIGH, UNIFORM
from test_trainer_reconcile import reconciled, views

from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.training.backends.local.trainer import train
from tokenspectrum.training.backends.verl.batch import scaled_advantage
from tokenspectrum.training.correction import correction
from tokenspectrum.training.record import MiniBatch

CAP = 1.05


def test_rho_is_the_truncated_ratio_in_float64():
    generator = torch.Generator().manual_seed(0)
    sampled_N = -torch.rand(200, generator=generator) * 3
    trained_N = sampled_N + torch.randn(200, generator=generator) * 0.2
    trained_N[0] = sampled_N[0] + 50  # beyond what exp() is asked for
    parts = enumerate(sampled_N.split(100))
    answers = [replace(response([2], [3] * 100, f"p{r}"), logprobs=tuple(part.tolist())) for r, part in parts]
    for cap in (0.5, CAP, 1e9):
        found = correction(trained_N, answers, cap)
        ratios = [math.exp(min(20.0, a - b)) for a, b in zip(trained_N.tolist(), sampled_N.tolist(), strict=True)]
        assert found.rho_N.tolist() == pytest.approx([min(ratio, cap) for ratio in ratios], rel=1e-5)
        assert found.told["rollout_is_mean"] == pytest.approx(sum(min(r, cap) for r in ratios) / 200, rel=1e-5)
        assert found.told["rollout_is_truncated"] == sum(ratio > cap for ratio in ratios) / 200
        assert found.told["rollout_is_threshold"] == cap


@pytest.mark.parametrize("denominator", ["selected", "all"])
def test_rho_multiplies_the_loss_and_is_not_in_its_denominator(denominator):
    weight_N, rho_N, advantage_N = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([0.5, 2.0, 1.5]), torch.ones(3)
    batch = MiniBatch([], torch.zeros(3), advantage_N, weight_N, denominator, rho_N)
    total = 1.5 if denominator == "selected" else 3
    # verl divides by its 3 tokens.
    assert scaled_advantage(batch).tolist() == pytest.approx([0.5 * 3 / total, 0.0, 0.75 * 3 / total])
    assert torch.equal(replace(batch, rho_N=None).factor_N, weight_N)


@pytest.fixture
def noisy(monkeypatch):
    """A sampler whose log-probabilities are off, as those of another kernel would be."""
    real = TransformersEngine.generate

    def generate(self, prompts, sampling, seed, step):
        draw = torch.Generator().manual_seed(step)
        answers = real(self, prompts, sampling, seed=seed, step=step)
        noise = [torch.randn(len(one.logprobs), generator=draw) * 0.1 for one in answers]
        return [
            replace(one, logprobs=tuple((torch.tensor(one.logprobs) + of).tolist()))
            for one, of in zip(answers, noise, strict=True)
        ]

    monkeypatch.setattr(TransformersEngine, "generate", generate)


@pytest.mark.parametrize("rule", [UNIFORM, LOW2HIGH], ids=lambda rule: rule.kind)
def test_a_run_logs_it_and_sql_finds_its_loss_again(make_job, noisy, rule):
    job = make_job("a", rule=rule, train={"steps": 2, "rollout_is_threshold": CAP, "learning_rate": 0.02})
    train(job)
    rows = reconciled(views(job))
    assert len(rows) == 4
    for row in rows:
        assert row["s_m"] == pytest.approx(row["s_m_logged"], rel=1e-5, abs=1e-9)
        assert row["step_loss"] == pytest.approx(row["step_loss_logged"], rel=1e-5, abs=1e-9)
    for step in (1, 2):
        tokens = read_table(job.out / "tokenlog", "tokens", step=step).to_pylist()
        ratios = [math.exp(row["logprob"] - row["rollout_logprob"]) for row in tokens]
        told = json.loads(read_table(job.metrics, "metrics", step=step)["realised"][0].as_py())
        assert told["rollout_is_mean"] == pytest.approx(sum(min(r, CAP) for r in ratios) / len(ratios), rel=1e-5)
        assert told["rollout_is_truncated"] == pytest.approx(sum(r > CAP for r in ratios) / len(ratios))
        assert 0.1 < told["rollout_is_truncated"] < 0.9


def test_it_changes_the_update_and_without_it_nothing_is_logged(make_job, noisy):
    losses = {}
    for cap in (None, 1.0, 2.0):
        job = make_job(f"cap{cap}", rule=UNIFORM, train={"steps": 1, "rollout_is_threshold": cap})
        train(job)
        (row,) = read_table(job.metrics, "metrics", step=1).to_pylist()
        losses[cap] = row["loss"]
        assert ("rollout_is_mean" in json.loads(row["realised"])) == (cap is not None)
    assert len(set(losses.values())) == 3


def test_a_threshold_is_positive():
    with pytest.raises(ValueError, match="greater than 0"):
        train_params(rollout_is_threshold=0)
