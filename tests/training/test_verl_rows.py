"""Rows for verl's actor: every response once, ranks evenly loaded, padding without a word, and the way back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.responses import distinct

from tokenspectrum.training.backends.verl.batch import (
    gather,
    measure_rows,
    scaled_advantage,
    spread,
    update_info,
    update_rows,
)
from tokenspectrum.training.record import MiniBatch

sizes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9)), min_size=1, max_size=12)


def parts(nested):
    return [row.tolist() for row in nested.unbind()]


@settings(max_examples=100, deadline=None)
@given(sizes, st.integers(1, 5))
def test_rows_hold_each_response_once_and_padding_counts_nowhere(drawn, ranks):
    responses = distinct(drawn)
    rows = measure_rows(responses, ranks)
    owners = rows.response_B.tolist()
    assert len(owners) % ranks == 0
    assert len(owners) - len(responses) < ranks
    assert sorted(r for r in owners if r >= 0) == list(range(len(responses)))
    columns = {name: parts(value) for name, value in rows.fields.items()}
    for b, r in enumerate(owners):
        prompt, tokens = ([0], [0]) if r < 0 else map(list, (responses[r].prompt_token_ids, responses[r].token_ids))
        assert (columns["prompts"][b], columns["responses"][b]) == (prompt, tokens)
        assert columns["input_ids"][b] == prompt + tokens
        assert columns["position_ids"][b] == list(range(len(prompt) + len(tokens)))
        assert columns["response_mask"][b] == columns["loss_mask"][b] == [int(r >= 0)] * len(tokens)


@settings(max_examples=100, deadline=None)
@given(sizes, st.integers(1, 5))
def test_what_is_spread_is_gathered_in_the_responses_order(drawn, ranks):
    responses = distinct(drawn)
    rows = measure_rows(responses, ranks)
    tokens = [token for response in responses for token in response.token_ids]
    whole = rows.fields["input_ids"]
    assert gather(whole, rows, "token").tolist() == tokens
    # At each position the token that comes next: what a log-probability there is of.
    following = torch.nested.nested_tensor_from_jagged(whole.values().roll(-1), whole.offsets())
    assert gather(following, rows).tolist() == tokens
    spread_out = spread(torch.tensor(tokens), rows)
    for row, mask, ids in zip(
        parts(spread_out), parts(rows.fields["response_mask"]), parts(rows.fields["responses"]), strict=True
    ):
        assert row == (ids if mask[0] else [0] * len(ids))


def test_one_rank_keeps_the_order_and_several_share_the_tokens():
    responses = distinct([(2, n) for n in (1, 30, 2, 29, 3, 28, 4, 27)])
    assert measure_rows(responses, 1).response_B.tolist() == list(range(8))
    loads = [
        sum(len(responses[r].token_ids) for r in hand)
        for hand in measure_rows(responses, 2).response_B.reshape(2, 4).tolist()
    ]
    assert abs(loads[0] - loads[1]) <= 2


@pytest.mark.parametrize("denominator", ["selected", "all"])
def test_an_updates_fields(denominator):
    responses = distinct([(2, 3), (1, 2), (4, 1)])
    old_N, advantage_N = torch.arange(6.0), torch.tensor([1.0, 1.0, 1.0, -0.5, -0.5, 2.0])
    batch = MiniBatch(responses, old_N, advantage_N, torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0, 0.0]), denominator)
    scale = 6 / 2.5 if denominator == "selected" else 1.0
    want = (torch.tensor([1.0, 0.0, 0.5, -0.5, 0.0, 0.0]) * scale).tolist()
    assert scaled_advantage(batch).tolist() == pytest.approx(want)
    rows = update_rows(batch, 2)
    assert len(rows.response_B) == update_info(rows)["mini_batch_size"] == 4
    for name, flat in (("old_log_probs", old_N.tolist()), ("advantages", want)):
        starts = [0, 3, 5, 6]
        for r, row in zip(rows.response_B.tolist(), parts(rows.fields[name]), strict=True):
            assert row == pytest.approx(flat[starts[r] : starts[r + 1]] if r >= 0 else [0.0])


def test_without_weight_there_is_nothing_to_send():
    batch = MiniBatch(distinct([(1, 2)]), torch.zeros(2), torch.ones(2), torch.zeros(2), "selected")
    assert update_rows(batch, 1) is None
