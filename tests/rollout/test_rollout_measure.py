"""measure_responses against one unpadded sequence at a time: full softmax, full T x T attention per head, float64."""

import math

import numpy as np
import pytest
import torch
from test_rollout_engine import VOCAB, make_model
from transformers import AutoModelForCausalLM, Gemma2Config

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.measure import check_not_inert, longest_context, measure_responses
from tokenspectrum.rollout.statistics import AttentionStatistics
from tokenspectrum.rollout.types import Response

WINDOW, TOP_K, FIXED_K = 3, 4, 5
OPTIONAL = {"top_k": TOP_K, "fixed_k": FIXED_K, "support": True}


def make_responses() -> list[Response]:
    # (prompt, response) lengths: a one-token prompt with a one-token response first, ragged, longest not last.
    generator = np.random.default_rng(0)
    lengths = [(1, 1), (6, 9), (3, 1), (12, 2), (1, 14), (6, 9)]
    return [
        Response(
            f"{i:016x}",
            0,
            tuple(generator.integers(3, VOCAB, p).tolist()),
            tuple(generator.integers(3, VOCAB, t).tolist()),
            (-1.0,) * t,
            "length",
        )
        for i, (p, t) in enumerate(lengths)
    ]


def entropy_of(weights: list[float]) -> float:
    total = math.fsum(weights)
    return -math.fsum(w / total * math.log(w / total) for w in weights if w > 0)


def row_statistics(row: list[float]) -> dict[str, float]:
    """The definitions, on one head-mean row of all visible positions."""
    n, place = len(row), len(row) - 1
    descending = sorted(row, reverse=True)
    raw = entropy_of(row)
    stats = {
        "visible_N": n,
        "entropy_raw_N": raw,
        "entropy_norm_N": raw / math.log(n) if n > 1 else 0.0,
        "distance_N": math.fsum(w * (place - j) for j, w in enumerate(row)),
        "local_mass_N": math.fsum(row[-WINDOW:]),
        "entropy_topk_N": entropy_of(descending[:TOP_K]),
        "entropy_fixed_N": entropy_of(row[:FIXED_K]),
    }
    for mass in (50, 80, 90, 95):
        stats[f"support_{mass}_N"] = next(
            m for m in range(1, n + 1) if m == n or math.fsum(descending[:m]) >= mass / 100
        )
    return stats


@torch.no_grad()
def measure_by_loop(model, responses: list[Response], layer: int, alignment: str) -> list[dict[str, float]]:
    """One dict a token.  `model` is eager and float64: it hands out every head's T x T attention."""
    tokens = []
    for response in responses:
        ids = [*response.prompt_token_ids, *response.token_ids]
        out = model(torch.tensor([ids]), output_attentions=True)
        mean_TT = out.attentions[layer][0].mean(0).tolist()
        for t, token in enumerate(response.token_ids):
            emits = len(response.prompt_token_ids) + t - 1
            logits = out.logits[0, emits].tolist()
            prob = np.exp(np.array(logits) - max(logits))
            prob /= prob.sum()
            query = emits + (alignment == "token")
            tokens.append(
                {
                    "logprob_N": math.log(prob[token]),
                    "predictive_entropy_N": entropy_of(prob.tolist()),
                    **row_statistics(mean_TT[query][: query + 1]),
                    "row": mean_TT[query][: query + 1],
                }
            )
    return tokens


def eager(family: str, seed: int = 0) -> torch.nn.Module:
    model = make_model(family, seed=seed)
    model.set_attn_implementation("eager")
    return model


@pytest.mark.parametrize("alignment", ["decision", "token"])
@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama", "gpt2"])
def test_scores_equal_the_definition(family, alignment):
    model, responses = make_model(family), make_responses()
    rows = [(4, 0), (0, 0), (1, 8), (4, 13)]
    scores = measure_responses(
        model, responses, layers=[0, 1], alignment=alignment, local_window=WINDOW, micro_batch=4, rows=rows, **OPTIONAL
    )
    assert scores.lengths_R.tolist() == [1, 9, 1, 2, 14, 9]
    offsets = np.cumsum([0, *scores.lengths_R.tolist()])
    for layer in (0, 1):
        expected = measure_by_loop(eager(family), responses, layer, alignment)
        for name in ("logprob_N", "predictive_entropy_N"):
            np.testing.assert_allclose(getattr(scores, name), [e[name] for e in expected], atol=2e-6)
        for name in AttentionStatistics.__dataclass_fields__:
            value_N = getattr(scores.attention[layer], name)
            np.testing.assert_allclose(value_N, [e[name] for e in expected], atol=1e-5, err_msg=name)
        for (r, t), row in zip(rows, scores.rows[layer], strict=True):
            np.testing.assert_allclose(row, expected[offsets[r] + t]["row"], atol=1e-6)


def test_alignments_and_layers_differ():
    model, responses = make_model("qwen3"), make_responses()
    options = {"layers": [0, 1], "local_window": WINDOW, "micro_batch": 8}
    decision = measure_responses(model, responses, alignment="decision", **options)
    token = measure_responses(model, responses, alignment="token", **options)
    assert torch.equal(token.attention[0].visible_N, decision.attention[0].visible_N + 1)
    # The row of token t under "token" is that of token t + 1 under "decision".
    torch.testing.assert_close(token.attention[0].entropy_raw_N[1:9], decision.attention[0].entropy_raw_N[2:10])
    assert torch.equal(token.logprob_N, decision.logprob_N)
    assert not torch.allclose(decision.attention[0].entropy_raw_N, decision.attention[1].entropy_raw_N, atol=1e-3)
    assert decision.attention[0].visible_N[0] == 1
    assert decision.attention[0].entropy_norm_N[0] == 0
    assert decision.attention[0].entropy_topk_N is None
    assert decision.attention[0].support_50_N is None


def test_the_mean_row_comes_before_the_entropy():
    responses = make_responses()
    scores = measure_responses(
        make_model("qwen3"), responses, layers=[1], alignment="decision", local_window=WINDOW, micro_batch=1
    )
    with torch.no_grad():
        ids = [*responses[1].prompt_token_ids, *responses[1].token_ids]
        heads_HTT = eager("qwen3")(torch.tensor([ids]), output_attentions=True).attentions[1][0]
    query = len(responses[1].prompt_token_ids) + 7
    per_head = [entropy_of(heads_HTT[h, query, : query + 1].tolist()) for h in range(len(heads_HTT))]
    assert scores.attention[1].entropy_raw_N[1 + 8] > sum(per_head) / len(per_head) + 1e-2


def test_micro_batches_change_float_noise_alone():
    model, responses = make_model("qwen3", torch.float32), make_responses()
    whole, single = (
        measure_responses(model, responses, layers=[0], alignment="decision", local_window=WINDOW, micro_batch=size)
        for size in (16, 1)
    )
    torch.testing.assert_close(whole.logprob_N, single.logprob_N, atol=2e-5, rtol=0)
    torch.testing.assert_close(whole.attention[0].entropy_raw_N, single.attention[0].entropy_raw_N, atol=2e-5, rtol=0)
    again = measure_responses(model, responses, layers=[0], alignment="decision", local_window=WINDOW, micro_batch=16)
    assert torch.equal(whole.logprob_N, again.logprob_N)


def test_no_layers_no_responses_and_the_model_is_left_alone():
    model, responses = make_model("qwen3").train(), make_responses()
    options = {"alignment": "decision", "local_window": WINDOW, "micro_batch": 8}
    scores = measure_responses(model, responses, layers=[], **options)
    assert scores.attention == {}
    assert len(scores.logprob_N) == int(scores.lengths_R.sum())
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    none = measure_responses(model, [], layers=[0], **options)
    assert len(none.logprob_N) == 0
    assert none.attention == {}


def test_inert_k_is_refused():
    responses = make_responses()
    assert longest_context(responses, "decision") == 14
    assert longest_context(responses, "token") == 15
    check_not_inert(15, 14, 14, "tokens")
    check_not_inert(15, None, None, "tokens")
    with pytest.raises(UserError, match=r"tokens\.top_k: 15 reaches the longest context of 15 positions"):
        check_not_inert(15, 15, 4, "tokens")
    with pytest.raises(UserError, match=r"tokens\.fixed_k: 16 reaches"):
        check_not_inert(15, 4, 16, "tokens")


def test_bad_input_is_one_clear_line():
    model, responses = make_model("qwen3"), make_responses()
    options = {"layers": [0], "local_window": WINDOW, "micro_batch": 8}
    empty = Response("abc", 3, (4, 5), (), (), "stop")
    with pytest.raises(UserError, match="prompt abc, sample 3: no tokens"):
        measure_responses(model, [*responses, empty], alignment="decision", **options)
    with pytest.raises(ValueError, match="alignment must be"):
        measure_responses(model, responses, alignment="key", **options)
    with pytest.raises(UserError, match="sliding window of 6"):
        measure_responses(make_model("mistral, window 6"), responses, alignment="decision", **options)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = math.nan
    with pytest.raises(UserError, match="NaN or infinite"):
        measure_responses(model, responses, alignment="decision", **options)


def test_a_policy_that_caps_its_logits_is_refused():
    gemma = Gemma2Config(
        vocab_size=VOCAB,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=0.5,
        attn_logit_softcapping=None,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(gemma).eval()
    torch.nn.init.normal_(model.model.embed_tokens.weight)
    with pytest.raises(UserError, match="changes its logits after the output layer"):
        measure_responses(model, make_responses(), layers=[], alignment="decision", local_window=3, micro_batch=8)
