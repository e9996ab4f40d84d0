"""Rules by loss magnitude in the loop: the weights logged are those of the losses logged, ties by the counter hash."""

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from kit.jobs import run

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.training.backends.local import backend as backend_module
from tokenspectrum.weighting.registry import make_rule
from tokenspectrum.weighting.rule import Rule


def loss_rule(kind: str, scope: str = "response", p: float = 0.3) -> Rule:
    return make_rule(kind=kind, denominator="selected", p=p, score="loss_magnitude", scope=scope, entropy_of="current")


def logged(job, step):
    """Rows of the step's tokens as dicts, with prompt id and sample."""
    responses = read_table(job.out / "tokenlog", "responses", step=step).sort_by("response_id").to_pylist()
    rows = read_table(job.out / "tokenlog", "tokens", step=step).to_pylist()
    for row in rows:
        owner = responses[row["response_id"]]
        row["name"] = (owner["prompt_id"], owner["sample"])
    return rows


def expected(rows, job, step, kind, scope, p):
    """Kept tokens by sorting the logged |l_t|; before the first update of the step |A|, which it then is."""
    segments = defaultdict(list)
    for row in rows:
        key = np.uint64(stream_key("mask", job.seed, step, *row["name"]))
        tie = uniforms(key, np.array([row["position"]]))[0]
        size = abs(row["advantage"]) if row["minibatch"] == 0 else abs(row["loss"])
        segment = row["response_id"] if scope == "response" else row["minibatch"]
        segments[segment].append((size, tie, row["response_id"], row["position"]))
    kept = set()
    for tokens in segments.values():
        k = max(1, math.floor(p * len(tokens) + 0.5))
        tokens = sorted(tokens)
        kept |= {token[2:] for token in (tokens[-k:] if kind == "loss-high" else tokens[:k])}
    return kept


@pytest.mark.parametrize("scope", ["response", "minibatch"])
@pytest.mark.parametrize("kind", ["loss-low", "loss-high"])
def test_logged_weights_follow_the_logged_losses(make_job, kind, scope):
    # Rates at which the second mini-batch has other ratios, some of them clipped.
    job = make_job("a", rule=loss_rule(kind, scope), train={"learning_rate": 2e-2, "warmup_steps": 0})
    run(job)
    for step in (1, 2):
        rows = logged(job, step)
        kept = {(row["response_id"], row["position"]) for row in rows if row["weight"] == 1}
        assert kept == expected(rows, job, step, kind, scope, 0.3)
        assert {row["weight"] for row in rows} == {0.0, 1.0}
    ratios = [row["ratio"] for row in rows if row["minibatch"] == 1]
    assert min(ratios) < 0.8
    assert max(ratios) > 1.28


def test_each_option_changes_what_is_learnt(make_job):
    rules = [
        loss_rule("loss-low"),
        loss_rule("loss-high"),
        loss_rule("loss-low", "minibatch"),
        loss_rule("loss-low", p=0.5),
    ]
    found = {run(make_job(str(i), rule=rule))["policy/step=00004/model.safetensors"] for i, rule in enumerate(rules)}
    assert len(found) == len(rules)


def test_float_noise_does_not_choose_among_equal_losses(make_job, monkeypatch):
    """Other micro-batches move log-probabilities by a rounding: before an update no rank may follow it."""
    real, draw = backend_module.measure_responses, torch.Generator().manual_seed(0)

    def rounded_otherwise(*args, **options):
        scores = real(*args, **options)
        return replace(scores, logprob_N=scores.logprob_N + 1e-6 * torch.randn(len(scores.logprob_N), generator=draw))

    monkeypatch.setattr(backend_module, "measure_responses", rounded_otherwise)
    job = make_job("a", rule=loss_rule("loss-high", p=0.5), train={"steps": 1})
    run(job)
    rows = [row for row in logged(job, 1) if row["minibatch"] == 0]
    kept = {(row["response_id"], row["position"]) for row in rows if row["weight"] == 1}
    assert kept == expected(rows, job, 1, "loss-high", "response", 0.5)
