"""Which prompts a step trains on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainer_kit import write_prompts

from tokenspectrum.errors import UserError
from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.training.data import PromptOrder, TaskSource

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


def test_tasks_carry_their_gold_and_count_those_that_were_cut(prompts_dir, policy_dir) -> None:
    tokenizer = load_tokenizer(policy_dir)
    source = TaskSource(prompts_dir, tokenizer, 4)
    tasks = [source[i] for i in range(24)]
    assert [task.ground_truth for task in tasks] == [str(i) for i in range(24)]
    texts = [tokenizer.decode(list(task.prompt.token_ids)) for task in tasks]
    assert texts[0] == "0+0="
    # The end of the problem and the cue are kept: 5 is "5+1 ?" and "=".
    assert texts[5] == "+1 ?="[-4:]
    assert all(len(task.prompt.token_ids) <= 4 for task in tasks)
    assert source.cut == sum(task.prompt.n_dropped > 0 for task in tasks) > 0


def test_a_damaged_prompt_file_is_named(tmp_path, policy_dir) -> None:
    root = write_prompts(tmp_path, 5)
    path = root / "train.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"train\.parquet: damaged"):
        TaskSource(root, load_tokenizer(policy_dir), 16)
