"""Responses behind one copy of their prompt, against each response alone."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kit.policy import write_letters
from kit.responses import response
from transformers import AutoModelForCausalLM, MistralConfig

from tokenspectrum.errors import UserError
from tokenspectrum.gradients.pull import dots
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.padded import lay_out, micro_batches
from tokenspectrum.training.backends.local.pulls import pulls
from tokenspectrum.training.backends.local.update import accumulate_gradient
from tokenspectrum.training.dapo import Clip
from tokenspectrum.training.record import MiniBatch

CPU = torch.device("cpu")
GROUPS = ((9, (5, 1, 7)), (1, (2, 6)), (9, (3, 3, 3)), (4, (8,)))


# Tokens that all prompts begin with; so many are worth a row of their own.
ALIKE = 20


def answers(groups=GROUPS, alike=0):
    """Groups of (prompt length, response lengths), all samples mixed; so many tokens begin every prompt, beside."""
    draw, found = np.random.default_rng(1), []
    for g, (prompt, lengths) in enumerate(groups):
        ids = [*range(2, 2 + alike), *draw.integers(2, 40, prompt).tolist()]
        found += [response(ids, draw.integers(2, 40, t).tolist(), f"p{g}", s) for s, t in enumerate(lengths)]
    return [found[i] for i in draw.permutation(len(found))]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_policy(write_letters(tmp_path_factory.mktemp("policy") / "p"), dtype="float32")[0].double()


@given(
    st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(1, 4), min_size=1, max_size=4)), min_size=1),
    st.integers(1, 12),
)
def test_a_row_holds_a_prompt_once_and_its_responses_behind_it(groups, alike) -> None:
    responses = answers(groups, alike)
    batch = lay_out(responses, range(len(responses)), CPU, share_prompts=True)
    prompts = {r.prompt_token_ids for r in responses}
    assert len(batch.ids_BT) in (1, len(prompts))
    once = alike + sum(len(ids) - alike for ids in prompts) + sum(len(r.token_ids) for r in responses)
    assert len(batch.ids_BT) > 1 or batch.ids_BT.shape[1] <= once  # prompts may have more in common by chance
    ids, width = batch.ids_BT.flatten(), batch.ids_BT.shape[1]
    places, offsets = batch.sequences()
    queries, targets = (found.split(batch.length_R.tolist()) for found in (batch.queries(), batch.targets()))
    for i, one in enumerate(responses):
        own = places[offsets[i] : offsets[i + 1]]
        assert tuple(ids[own].tolist()) == one.prompt_token_ids + one.token_ids
        assert targets[i].tolist() == own[len(one.prompt_token_ids) :].tolist()
        assert queries[i].tolist() == own[len(one.prompt_token_ids) - 1 : -1].tolist()
        if batch.seen_B1TT is None:
            continue
        row, columns = int(batch.row_R[i]), own % width
        assert batch.position_BT[row, columns].tolist() == list(range(len(own)))
        for place, column in enumerate(columns.tolist()):
            seen = batch.seen_B1TT[row, 0, column].nonzero()[:, 0].tolist()
            assert seen == columns[: place + 1].tolist()


def test_responses_of_a_prompt_are_next_to_one_another_and_a_row_is_cut_at_the_size() -> None:
    responses = answers()
    parts = micro_batches(responses, 2, share_prompts=True)
    order = [responses[i].prompt_id for index in parts for i in index]
    assert [a for a, b in zip(order, [None, *order], strict=False) if a != b] == list(dict.fromkeys(order))
    batches = [lay_out(responses, index, CPU, True) for index in parts]
    assert sorted(i for batch in batches for i in batch.index) == list(range(len(responses)))
    assert max(len(batch.index) for batch in batches) == 2


def test_micro_batches_of_rows_without_padding_have_even_work() -> None:
    lengths = [(9, (t, 1)) for t in (30, 1, 2, 20, 3, 21, 4, 29)]
    for alike in (ALIKE, 0):
        responses = answers(lengths, alike)
        batches = micro_batches(responses, 8, share_prompts=True)
        assert sorted(i for index in batches for i in index) == list(range(16))
        work = [sum(len(responses[i].token_ids) for i in index) for index in batches]
        assert (max(work) - min(work) <= 4) == (alike == ALIKE), work


@given(
    st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(1, 9), min_size=1, max_size=5)), min_size=1),
    st.integers(1, 7),
    st.sampled_from([0, ALIKE]),
    st.booleans(),
)
def test_a_micro_batch_alone_is_the_one_that_it_is_among_others(groups, size, alike, share) -> None:
    """Also where a prompt's responses are in two of them."""
    responses = answers(groups, alike)
    for index in micro_batches(responses, size, share):
        assert micro_batches([responses[i] for i in index], size, share) == [list(range(len(index)))]


def test_prompts_that_begin_alike_share_a_row_where_it_saves_a_fifth() -> None:
    shapes = {}
    for alike in (0, 3, ALIKE):
        responses = answers(alike=alike)
        shapes[alike] = tuple(lay_out(responses, range(len(responses)), CPU, share_prompts=True).ids_BT.shape)
    longest, all_tokens = 9 + 13, (9 + 1 + 9 + 4) + (13 + 8 + 9 + 8)
    assert shapes == {0: (4, longest), 3: (1, 3 + all_tokens), ALIKE: (1, ALIKE + all_tokens)}
    even = answers([(9, (7, 7))] * 4, alike=3)  # 101 of 104 positions would be left
    assert lay_out(even, range(8), CPU, share_prompts=True).ids_BT.shape == (4, 26)


@pytest.mark.parametrize("alike", [0, ALIKE])
@pytest.mark.parametrize("alignment", ["decision", "token"])
@pytest.mark.parametrize("micro_batch", [2, 8])
def test_scores_are_those_of_each_response_alone(model, alignment, micro_batch, alike) -> None:
    responses = answers(alike=alike)
    options = {"layers": [0, 1], "alignment": alignment, "local_window": 3, "top_k": 2, "fixed_k": 2, "support": True}
    options["rows"] = [(0, 0), (5, 1), (8, 0)]
    shared = measure_responses(model, responses, micro_batch=micro_batch, share_prompts=True, **options)
    alone = measure_responses(model, responses, micro_batch=1, **options)
    for name in ("logprob_N", "predictive_entropy_N"):
        torch.testing.assert_close(getattr(shared, name), getattr(alone, name), rtol=1e-6, atol=1e-6)
    for layer in (0, 1):
        for field in fields(alone.attention[layer]):
            found, want = (getattr(s.attention[layer], field.name) for s in (shared, alone))
            torch.testing.assert_close(found, want, rtol=1e-6, atol=1e-6)
        for found, want in zip(shared.rows[layer], alone.rows[layer], strict=True):
            torch.testing.assert_close(found, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("alike", [0, ALIKE])
def test_gradients_are_those_of_each_response_alone(model, alike) -> None:
    responses = answers(alike=alike)
    n = sum(len(one.token_ids) for one in responses)
    coefficient_KN = torch.from_numpy(np.random.default_rng(2).normal(size=(2, n)))
    alone, shared = (pulls(model, responses, coefficient_KN, size, size > 1) for size in (1, 8))
    for a, b in zip(alone, shared, strict=True):
        torch.testing.assert_close(
            torch.cat([x.flatten() for x in b]), torch.cat([x.flatten() for x in a]), rtol=1e-3, atol=1e-5
        )
    torch.testing.assert_close(
        dots(model, responses, alone, 8, True), dots(model, responses, alone, 1), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("alike", [0, ALIKE])
def test_an_update_goes_through_a_prompt_once_and_takes_the_same_step(model, alike) -> None:
    responses = answers(alike=alike)
    n = sum(len(one.token_ids) for one in responses)
    draw = torch.Generator().manual_seed(3)
    batch = MiniBatch(responses, -torch.rand(n, generator=draw), torch.randn(n, generator=draw), torch.ones(n), "all")
    tokens: list[int] = []
    hook = model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: tokens.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    found = []
    for share in (False, True):
        tokens.clear()
        terms = accumulate_gradient(model, batch, Clip(0.2, 0.28, 10.0), len(responses), share)
        gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        found.append((sum(tokens), gradient, terms.ratio_N, terms.loss))
    hook.remove()
    model.zero_grad(set_to_none=True)
    (alone, *wanted), (shared, *got) = found
    rows = {0: 4 * (9 + 13), ALIKE: ALIKE + (9 + 1 + 9 + 4) + (13 + 8 + 9 + 8)}
    assert shared == rows[alike] < alone == 9 * (16 + alike)
    for want, value in zip(wanted, got, strict=True):
        torch.testing.assert_close(value, want, rtol=1e-3, atol=1e-6)


def test_a_policy_that_sees_a_window_is_refused() -> None:
    config = MistralConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=4,
    )  # fmt: skip
    windowed = AutoModelForCausalLM.from_config(config)
    options = {"layers": [], "alignment": "decision", "local_window": 2, "micro_batch": 4}
    measure_responses(windowed, answers(), **options)
    with pytest.raises(UserError, match=r"systems\.share_prompts: .*sliding_attention.*; set it to false"):
        measure_responses(windowed, answers(), share_prompts=True, **options)
    with pytest.raises(UserError, match=r"systems\.share_prompts"):
        pulls(windowed, answers(), torch.ones(1, 38), 8, True)


def test_other_attention_is_refused(model) -> None:
    model.set_attn_implementation("eager")
    try:
        with pytest.raises(UserError, match=r"systems\.share_prompts: the policy's attention is eager"):
            pulls(model, answers(), torch.ones(1, 38), 8, True)
    finally:
        model.set_attn_implementation("sdpa")
