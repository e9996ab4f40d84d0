"""Collation and mini-batches against loops over lists."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from kit.responses import distinct

from tokenspectrum.rollout.padded import lay_out, micro_batches
from tokenspectrum.training.backends.local.padded import collate
from tokenspectrum.training.batch import assign_minibatches, flat_tokens, response_lengths

LENGTHS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 7)), min_size=1, max_size=8)


@given(LENGTHS, st.randoms())
def test_collate_finds_every_token_and_the_query_that_emits_it(lengths, random) -> None:
    responses = distinct(lengths)
    lengths_R = response_lengths(responses)
    rows = random.sample(range(len(responses)), random.randint(1, len(responses)))
    padded = collate(responses, torch.tensor(rows), lengths_R)
    ids_BT = padded.inputs["input_ids"]
    width = ids_BT.shape[1]
    flat = [(r, t) for r, response in enumerate(responses) for t in range(len(response.token_ids))]
    want = [(b, r, t) for b, r in enumerate(rows) for t in range(len(responses[r].token_ids))]
    assert len(want) == len(padded.query_N) == len(padded.target_N) == len(padded.token_N)
    for i, (b, r, t) in enumerate(want):
        response = responses[r]
        before = response.prompt_token_ids[-1] if t == 0 else response.token_ids[t - 1]
        assert ids_BT.flatten()[padded.query_N[i]] == before
        assert padded.query_N[i] // width == b
        assert padded.target_N[i] == response.token_ids[t]
        assert flat[padded.token_N[i]] == (r, t)
    for b, r in enumerate(rows):
        ids = responses[r].prompt_token_ids + responses[r].token_ids
        assert ids_BT[b].tolist() == [*ids, *[0] * (width - len(ids))]


@given(LENGTHS, st.randoms())
def test_flat_tokens_lists_the_tokens_of_rows(lengths, random) -> None:
    lengths_R = response_lengths(distinct(lengths))
    rows = random.sample(range(len(lengths)), random.randint(0, len(lengths)))
    flat = [r for r, (_, t) in enumerate(lengths) for _ in range(t)]
    want = [i for r in rows for i, owner in enumerate(flat) if owner == r]
    assert flat_tokens(torch.tensor(rows, dtype=torch.int64), lengths_R).tolist() == want


@given(LENGTHS, st.integers(1, 9))
def test_micro_batches_hold_every_row_once_in_order_of_length(lengths, size: int) -> None:
    responses = distinct(lengths)
    batches = [lay_out(responses, index, torch.device("cpu")) for index in micro_batches(responses, size)]
    order = [r for batch in batches for r in batch.index]
    assert sorted(order) == list(range(len(responses)))
    assert [sum(lengths[r]) for r in order] == sorted(map(sum, lengths))
    assert max(len(batch.index) for batch in batches) <= size


def test_minibatches_are_equal_parts_of_whole_groups_shuffled_by_seed_and_step() -> None:
    ids = [f"{i:x}" for i in range(12)]
    first = assign_minibatches(ids, 3, 4, seed=1, step=1)
    assert torch.bincount(first).tolist() == [9, 9, 9, 9]
    assert (first.view(12, 3) == first.view(12, 3)[:, :1]).all()
    assert (first == assign_minibatches(ids, 3, 4, seed=1, step=1)).all()
    assert (first != assign_minibatches(ids, 3, 4, seed=1, step=2)).any()
    assert (first != assign_minibatches(ids, 3, 4, seed=2, step=1)).any()
