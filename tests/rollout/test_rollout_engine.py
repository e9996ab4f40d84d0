"""The transformers engine against one sequence at a time without a cache, on models of several families."""

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_rollout_sampling import draw_by_loop
from transformers import (
    AttentionInterface,
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.errors import UserError
from tokenspectrum.rollout.engines.transformers import start
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.rollout.engines.transformers.grouped import grouped_decode
from tokenspectrum.rollout.types import Prompt, Sampling
from tokenspectrum.systems.params import SystemsParams

VOCAB, EOS = 20, 2
TOKENIZER = SimpleNamespace(eos_token_id=EOS)
COMMON = {"vocab_size": VOCAB, "bos_token_id": None, "eos_token_id": EOS, "pad_token_id": 0, "initializer_range": 0.4}
LLAMA = COMMON | {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
FAMILIES = {
    "qwen3": Qwen3Config(**LLAMA, head_dim=8, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**LLAMA),
    "llama": LlamaConfig(**LLAMA),
    "mistral, window 6": MistralConfig(**LLAMA, head_dim=8, sliding_window=6),
    "gpt2": GPT2Config(**COMMON, n_embd=16, n_layer=2, n_head=2, n_positions=64),
}
# A single token, the same length twice, and a long one: left padding of every kind; few tokens, so that many stop.
PROMPTS = [
    Prompt(f"{i:016x}", tuple(range(3, 3 + n)), 0) for i, n in enumerate([5, 1, 14, 5, 9])
]  # fmt: skip
SAMPLING = Sampling(temperature=1.0, top_p=0.95, max_tokens=12, n=4)


def make_model(family: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    # A copy: set_attn_implementation writes into the config.
    return AutoModelForCausalLM.from_config(deepcopy(FAMILIES[family])).to(dtype).eval()


@torch.no_grad()
def generate_by_loop(model, prompt: Prompt, sampling: Sampling, sample: int, seed: int, step: int, domain: str):
    """One response, every token from a forward pass over the whole sequence, unpadded."""
    key = np.array([stream_key(domain, seed, step, prompt.prompt_id, sample)], np.uint64)
    tokens, logprobs = [], []
    while len(tokens) < sampling.max_tokens and tokens[-1:] != [EOS]:
        logits_V = model(torch.tensor([[*prompt.token_ids, *tokens]])).logits[0, -1]
        u = uniforms(key, np.array([len(tokens)]))[0]
        token, logprob = draw_by_loop(logits_V.tolist(), u, sampling.temperature, sampling.top_p)
        tokens.append(token)
        logprobs.append(logprob)
    return tokens, logprobs


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_rows", [3, 256])
def test_engine_equals_one_uncached_sequence_at_a_time(family, batch_rows):
    model = make_model(family)
    engine = TransformersEngine(model, TOKENIZER, batch_rows=batch_rows)
    sampling = Sampling(temperature=0.9, top_p=0.95, max_tokens=12, n=4)
    responses = engine.generate(PROMPTS, sampling, seed=5, step=7)
    assert [(r.prompt_id, r.sample) for r in responses] == [(p.prompt_id, i) for p in PROMPTS for i in range(4)]
    for i, response in enumerate(responses):
        prompt = PROMPTS[i // 4]
        tokens, logprobs = generate_by_loop(model, prompt, sampling, i % 4, 5, 7, "sample")
        assert list(response.token_ids) == tokens
        np.testing.assert_allclose(response.logprobs, logprobs, atol=1e-6)
        assert response.prompt_token_ids == prompt.token_ids
        assert response.finish_reason == ("stop" if tokens[-1] == EOS else "length")
    # The case must hold both kinds, and rows that leave the batch early.
    assert {r.finish_reason for r in responses} == {"stop", "length"}
    assert min(len(r.token_ids) for r in responses) < 10


@pytest.mark.parametrize(("most", "sizes"), [(6, [5, 5, 5, 5]), (7, [6, 7, 7]), (16, [10, 10]), (20, [20]), (99, [20])])
def test_batches_are_of_equal_size(monkeypatch, most, sizes):
    engine, found = TransformersEngine(make_model("qwen3"), TOKENIZER, batch_rows=most), []
    decode = engine._decode
    monkeypatch.setattr(engine, "_decode", lambda *given, **more: found.append(len(given[1])) or decode(*given, **more))
    assert len(engine.generate(PROMPTS, SAMPLING, seed=1, step=0)) == 20
    assert found == sizes


@pytest.mark.parametrize("own", [[3], [1, 2, 5]])
def test_prompts_that_begin_alike_are_prefilled_once_and_sampled_as_alone(own):
    model = make_model("qwen3")
    # Of one length, and of several: then there is padding behind what they share.  The first two are equal.
    begin = tuple(range(3, 15))
    prompts = [Prompt(f"{i:016x}", (*begin, *range(3 + i, 3 + i + n)), 0) for i, n in enumerate([0, 0, *own])]
    positions = []
    model.model.layers[0].register_forward_pre_hook(lambda module, given: positions.append(given[0].shape[:2].numel()))
    alone = [r for p in prompts for r in TransformersEngine(model, TOKENIZER).generate([p], SAMPLING, seed=1, step=0)]
    positions.clear()
    apart = TransformersEngine(model, TOKENIZER).generate(prompts, SAMPLING, seed=1, step=0)
    without = positions[0]
    positions.clear()
    together = TransformersEngine(model, TOKENIZER, share_prompts=True).generate(prompts, SAMPLING, seed=1, step=0)
    assert [r.token_ids for r in together] == [r.token_ids for r in apart] == [r.token_ids for r in alone]
    for shared, own_response in zip(together, alone, strict=True):
        np.testing.assert_allclose(shared.logprobs, own_response.logprobs, atol=1e-6)
    # All but the last token of the shortest prompt is shared.
    assert positions[0] == len(begin) - 1
    assert positions[1] == len(prompts) * (1 + max(own)) < without


@pytest.mark.parametrize("shares", [False, True])
def test_params_say_whether_prompts_are_shared(monkeypatch, shares):
    monkeypatch.setattr(start, "load_policy", lambda *_, **__: (make_model("qwen3"), TOKENIZER))
    systems = SystemsParams(share_prompts=shares)
    with start.start(Path("policy"), systems, dtype="float32", max_tokens=8) as (engine, _):
        assert engine.share_prompts is shares


def test_prompts_that_share_little_are_prefilled_as_without():
    model = make_model("qwen3")
    assert TransformersEngine(model, TOKENIZER, share_prompts=True).generate(
        PROMPTS, SAMPLING, seed=1, step=0
    ) == TransformersEngine(model, TOKENIZER).generate(PROMPTS, SAMPLING, seed=1, step=0)


def test_a_sliding_window_shares_no_prompts():
    with pytest.raises(UserError, match=r"share_prompts.*sliding_attention.*false"):
        TransformersEngine(make_model("mistral, window 6"), TOKENIZER, share_prompts=True)


def test_samples_do_not_depend_on_the_batch():
    engine = TransformersEngine(make_model("qwen3"), TOKENIZER)
    whole = engine.generate(PROMPTS, SAMPLING, seed=1, step=0)
    assert engine.generate(PROMPTS, SAMPLING, seed=1, step=0) == whole
    alone = [r for p in PROMPTS for r in engine.generate([p], SAMPLING, seed=1, step=0)]
    assert [r.token_ids for r in alone] == [r.token_ids for r in whole]
    fewer = engine.generate(PROMPTS, Sampling(1.0, 0.95, 12, n=2), seed=1, step=0)
    assert [r.token_ids for r in fewer] == [r.token_ids for r in whole if r.sample < 2]


def test_every_part_of_the_counter_changes_the_samples():
    engine = TransformersEngine(make_model("qwen3"), TOKENIZER)
    prompts = [PROMPTS[0], Prompt("f" * 16, PROMPTS[0].token_ids)]
    runs = [
        engine.generate(prompts, SAMPLING, seed=1, step=1),
        engine.generate(prompts, SAMPLING, seed=2, step=1),
        engine.generate(prompts, SAMPLING, seed=1, step=2),
        engine.generate(prompts, SAMPLING, seed=1, step=1, domain="evaluate"),
    ]
    texts = [tuple(r.token_ids for r in run[i : i + 4]) for run in runs for i in (0, 4)]
    assert len(set(texts)) == len(texts)
    assert len({r.token_ids for r in runs[0]}) > 4


def test_the_engine_sees_the_live_weights_and_leaves_the_mode_alone():
    model = make_model("qwen3").train()
    engine = TransformersEngine(model, TOKENIZER)
    before = engine.generate(PROMPTS, SAMPLING, seed=1, step=0)
    assert model.training
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(-3)
    assert engine.generate(PROMPTS, SAMPLING, seed=1, step=0) != before


def test_attention_by_key_head_is_for_the_decode_alone():
    # float32: transformers' eager attention turns its float64 mask into NaN on rows of padding.
    model = make_model("qwen3", torch.float32)
    original = AttentionInterface()["sdpa"]
    grouped = TransformersEngine(model, TOKENIZER).generate(PROMPTS, SAMPLING, seed=1, step=0)
    assert AttentionInterface()["sdpa"] is original
    with grouped_decode(model):
        assert AttentionInterface()["sdpa"] is not original
    model.set_attn_implementation("eager")
    eager = TransformersEngine(model, TOKENIZER).generate(PROMPTS, SAMPLING, seed=1, step=0)
    assert [r.token_ids for r in eager] == [r.token_ids for r in grouped]


def test_float32_samples_mostly_equal_float64_samples():
    exact = TransformersEngine(make_model("qwen3"), TOKENIZER).generate(PROMPTS, SAMPLING, seed=1, step=0)
    noisy = TransformersEngine(make_model("qwen3", torch.float32), TOKENIZER).generate(
        PROMPTS, SAMPLING, seed=1, step=0
    )
    same = sum(a.token_ids == b.token_ids for a, b in zip(exact, noisy, strict=True))
    assert same >= len(exact) - 1


def test_stop_tokens_come_from_tokenizer_and_generation_config():
    model = make_model("qwen3")
    plain = TransformersEngine(model, TOKENIZER).generate(PROMPTS, SAMPLING, seed=1, step=0)
    other = next(t for r in plain for t in r.token_ids[:-1])
    model.generation_config.eos_token_id = [other]
    responses = TransformersEngine(model, TOKENIZER).generate(PROMPTS, SAMPLING, seed=1, step=0)
    assert {r.token_ids[-1] for r in responses if r.finish_reason == "stop"} == {EOS, other}
    assert not any(EOS in r.token_ids[:-1] or other in r.token_ids[:-1] for r in responses)


def test_one_token_and_the_limit():
    engine = TransformersEngine(make_model("qwen3"), TOKENIZER)
    assert {len(r.token_ids) for r in engine.generate(PROMPTS, Sampling(1.0, 1.0, 1, 2), seed=0, step=0)} == {1}


def test_bad_input_is_one_clear_line():
    model = make_model("gpt2")
    engine = TransformersEngine(model, TOKENIZER)
    with pytest.raises(UserError, match="prompt abc: no tokens"):
        engine.generate([Prompt("abc", ())], SAMPLING, seed=0, step=0)
    with pytest.raises(UserError, match="74 tokens of prompt and response, but the policy has 64 positions"):
        engine.generate(PROMPTS, Sampling(1.0, 1.0, 60, 1), seed=0, step=0)
    model.generation_config.eos_token_id = None
    with pytest.raises(UserError, match="no end-of-sequence token"):
        TransformersEngine(model, SimpleNamespace(eos_token_id=None))
