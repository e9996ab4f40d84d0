"""The sampler against the trainer: every number against plain loops, and those of a run against its own tokens."""

import math

import numpy as np
import pytest
from kit.rules import UNIFORM

from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.training.backends.local.trainer import train
from tokenspectrum.training.mismatch import sampling_mismatch


def loops(logprobs, sampled) -> dict[str, float]:
    logs = [float(a) - float(b) for a, b in zip(logprobs, sampled, strict=True)]
    ratios = [math.exp(x) for x in logs]
    return {
        "sampling_k1": sum(-x for x in logs) / len(logs),
        "sampling_k3": sum(r - 1 - x for r, x in zip(ratios, logs, strict=True)) / len(logs),
        "sampling_ratio_p01": float(np.percentile(ratios, 1)),
        "sampling_ratio_p99": float(np.percentile(ratios, 99)),
        "sampling_gap_max": max(map(abs, logs)),
    }


def test_every_number_against_plain_loops():
    rng = np.random.default_rng(0)
    sampled_N = -rng.exponential(1.0, 500)
    trained_N = sampled_N + rng.normal(0, 0.2, 500)
    assert sampling_mismatch(trained_N, sampled_N) == pytest.approx(loops(trained_N, sampled_N))


def test_both_estimates_are_of_the_kl_between_two_known_policies():
    rng = np.random.default_rng(1)
    p_V, q_V = np.array([0.7, 0.2, 0.1]), np.array([0.5, 0.2, 0.3])
    drawn_N = rng.choice(3, 200_000, p=p_V)
    found = sampling_mismatch(np.log(q_V)[drawn_N], np.log(p_V)[drawn_N])
    kl = float((p_V * np.log(p_V / q_V)).sum())
    assert found["sampling_k1"] == pytest.approx(kl, rel=0.02)
    assert found["sampling_k3"] == pytest.approx(kl, rel=0.02)


def test_a_token_that_the_trainer_finds_impossible_is_finite():
    found = sampling_mismatch(np.array([-200.0, -1.0]), np.array([-1.0, -200.0]))
    assert all(map(math.isfinite, found.values()))
    assert found["sampling_gap_max"] == 199


def test_a_run_logs_them(make_job):
    job = make_job("a", rule=UNIFORM)
    train(job)
    for step in (1, 2):
        tokens = read_table(job.out / "tokenlog", "tokens", step=step)
        row = read_table(job.metrics, "metrics", step=step).to_pylist()[0]
        expected = loops(tokens["logprob"].to_pylist(), tokens["rollout_logprob"].to_pylist())
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-12)
        assert 0 <= row["sampling_k3"] < 1e-8  # one process, the same weights
