"""Which prompts a step trains on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.errors import UserError
from tokenspectrum.training.data import PromptOrder

IDS = tuple(f"{i:016x}" for i in range(10))


@given(st.integers(1, 10), st.integers(0, 2**31))
def test_an_epoch_gives_every_batch_once_and_drops_the_rest(size: int, seed: int) -> None:
    order = PromptOrder(IDS, seed, size)
    for epoch in range(3):
        batches = [order.batch(epoch * (10 // size) + i) for i in range(10 // size)]
        drawn = [i for batch in batches for i in batch]
        assert all(len(batch) == size for batch in batches)
        assert len(set(drawn)) == len(drawn) == 10 // size * size


def test_the_order_depends_on_seed_epoch_and_ids_but_not_on_their_places() -> None:
    order = PromptOrder(IDS, 1, 10)
    assert order.batch(0) != order.batch(1)
    assert order.batch(0) != PromptOrder(IDS, 2, 10).batch(0)
    backwards = IDS[::-1]
    assert [IDS[i] for i in order.batch(0)] == [backwards[i] for i in PromptOrder(backwards, 1, 10).batch(0)]


def test_a_position_alone_gives_its_batch() -> None:
    one, other = PromptOrder(IDS, 1, 3), PromptOrder(IDS, 1, 3)
    walked = [one.batch(position) for position in range(8)]
    assert other.batch(7) == walked[7]


def test_fewer_prompts_than_a_batch_is_an_error() -> None:
    with pytest.raises(UserError, match=r"10 training prompts are fewer than one batch of 11.*prompts_per_step"):
        PromptOrder(IDS, 1, 11)
