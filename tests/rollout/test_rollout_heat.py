"""Temperatures by entropy: the definition, and the transformers engine against a loop that has it."""

import math

import numpy as np
import pytest
import torch
from test_rollout_engine import PROMPTS, TOKENIZER, make_model
from test_rollout_sampling import draw_by_loop

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.rollout.heat import temperatures
from tokenspectrum.rollout.types import Heat, Sampling


def entropy(logits: list[float]) -> float:
    top = max(logits)
    weights = [math.exp(x - top) for x in logits]
    return -sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights if w)


def test_the_temperature_follows_the_entropy():
    logits = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [1.0, 0.0, -math.inf]])
    heat = Heat(threshold=0.5, above=1.5, below=0.5)
    assert temperatures(logits, heat).tolist() == [1.5 if entropy(row) > 0.5 else 0.5 for row in logits.tolist()]
    assert temperatures(logits, heat).tolist() == [1.5, 0.5, 1.5]
    assert temperatures(logits, Heat(0.6, 1.5, 0.5)).tolist() == [1.5, 0.5, 0.5]


@pytest.mark.parametrize("heat", [Heat(1.5, 2.0, 1.0), Heat(1.5, 1.0, 0.25)])
def test_the_engine_draws_each_token_at_its_own_temperature(heat):
    model, sampling = make_model("qwen3"), Sampling(1.0, 0.95, 12, 2, heat)
    answers = TransformersEngine(model, TOKENIZER).generate(PROMPTS, sampling, seed=3, step=1)
    hot = 0
    for answer in answers:
        ids = list(answer.prompt_token_ids)
        key = np.array([stream_key("sample", 3, 1, answer.prompt_id, answer.sample)], np.uint64)
        for t, token in enumerate(answer.token_ids):
            logits = model(torch.tensor([ids])).logits[0, -1].tolist()
            unsure = entropy(logits) > heat.threshold
            hot += unsure
            u = float(uniforms(key, np.array([t]))[0])
            expected, logprob = draw_by_loop(logits, u, heat.above if unsure else heat.below, 0.95)
            assert token == expected
            assert answer.logprobs[t] == pytest.approx(logprob, abs=1e-5)
            ids.append(token)
    total = sum(len(answer.token_ids) for answer in answers)
    assert 0 < hot < total


def test_heat_of_one_is_no_heat():
    engine = TransformersEngine(make_model("qwen3"), TOKENIZER)
    plain, heated = Sampling(1.0, 0.95, 12, 2), Sampling(1.0, 0.95, 12, 2, Heat(1.5, 1.0, 1.0))
    assert engine.generate(PROMPTS, plain, seed=3, step=1) == engine.generate(PROMPTS, heated, seed=3, step=1)
    with pytest.raises(ValueError, match=r"temperature 0\.7 beside a heat"):
        Sampling(0.7, 0.95, 12, 2, Heat(1.5, 1.0, 1.0))
