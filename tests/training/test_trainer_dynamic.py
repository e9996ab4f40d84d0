"""Dynamic sampling: which groups are trained on, against plain loops; and that it resumes, counts and can be off."""

import itertools
import shutil
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.jobs import run

from tokenspectrum.params.reward import OverlongParams
from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.rollout.judged import judge
from tokenspectrum.rollout.questions import encode_questions, read_questions
from tokenspectrum.rollout.types import Sampling
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.training.backends.local.backend import LocalBackend
from tokenspectrum.training.data import PromptOrder
from tokenspectrum.training.dynamic import choose_groups

N = 2


@pytest.fixture
def job_of(make_job):
    """job_of(name, max_batches): pairs of responses, many of which earn the same."""

    def make(name, max_batches, *, buffer=2, **fields):
        job = make_job(name, train={"dynamic_sampling": max_batches and {"max_batches": max_batches}}, **fields)
        overlong = buffer and OverlongParams(buffer=buffer, factor=1.0)
        return replace(
            job,
            sampling=job.sampling.model_copy(update={"n": N}),
            reward=job.reward.model_copy(update={"overlong": overlong or None}),
        )

    return make


def drawn(job, step):
    """Of step 1's policy, batch by batch: (prompt id, rewards of its responses) of every prompt that may be drawn."""
    tokenizer = load_tokenizer(job.policy)
    questions = list(itertools.chain.from_iterable(read_questions(job.prompts).values()))
    order = PromptOrder(tuple(q.prompt_id for q in questions), job.seed, job.train.prompts_per_step)
    most = job.train.dynamic_sampling.max_batches
    limit = job.sampling.max_response_tokens
    batches = []
    for position in range((step - 1) * most, step * most):
        asked = [questions[i] for i in order.batch(position)]
        prompts = encode_questions(asked, tokenizer, job.sampling.max_prompt_tokens)
        with LocalBackend.start(job, tokenizer) as backend:
            responses = backend.generate(prompts, Sampling(1.0, 0.95, limit, N), step)
        rewarded = judge(asked, responses, tokenizer, job.reward, limit).rewarded
        rewards = [rewarded[i * N : (i + 1) * N] for i in range(len(asked))]
        batches.append([(q.prompt_id, [s.reward for s in group]) for q, group in zip(asked, rewards, strict=True)])
    return batches


def by_loop(batches, size):
    """Prompts that are trained on, in the order drawn, and how many were sampled."""
    kept, dropped, seen = [], [], []
    for batch in batches:
        for prompt, rewards in batch:
            if prompt in seen:
                continue
            seen.append(prompt)
            (kept if min(rewards) < max(rewards) else dropped).append(prompt)
        if len(kept) >= size:
            break
    kept = kept[:size]
    chosen = {*kept, *dropped[: size - len(kept)]}
    return [prompt for prompt in seen if prompt in chosen], len(seen), len(kept)


def trained_on(job, step):
    rows = read_table(job.out / "tokenlog", "responses", step=step).sort_by("response_id").to_pydict()
    assert rows["prompt_id"][::N] == rows["prompt_id"][1::N]
    assert rows["sample"] == list(range(N)) * (len(rows["sample"]) // N)
    return rows["prompt_id"][::N]


def counts(job):
    rows = read_table(job.out / "metrics", "metrics").sort_by("step")
    return list(zip(rows["generated_groups"].to_pylist(), rows["kept_groups"].to_pylist(), strict=True))


@pytest.mark.parametrize(("max_batches", "buffer"), [(2, 2), (4, 2), (3, 12), (3, 0)])
def test_the_first_step_trains_on_what_a_loop_picks(job_of, max_batches, buffer):
    job = job_of("a", max_batches, buffer=buffer)
    run(job)
    prompts, generated, kept = by_loop(drawn(job, 1), job.train.prompts_per_step)
    assert trained_on(job, 1) == prompts
    assert counts(job)[0] == (generated, kept)
    if buffer == 0:
        # Nobody earns anything else: the first batch it is, after all were sampled.
        assert (generated, kept) == (12, 0)
        assert prompts == [prompt for prompt, _ in drawn(job, 1)[0]]
    elif max_batches == 4:
        # The case of interest: more than a batch sampled, and no group left without an advantage.
        assert generated > 4
        assert kept == 4


def test_a_prompt_that_comes_again_in_a_step_is_sampled_once(job_of):
    """24 prompts are 6 batches: step 2 of 4 batches reaches into the next epoch."""
    job = job_of("a", 4, buffer=0)
    run(job)
    again = drawn(job, 2)
    names = [prompt for batch in again for prompt, _ in batch]
    assert len(set(names)) < len(names) == 16
    assert counts(job)[1] == (len(set(names)), 0)
    assert trained_on(job, 2) == [prompt for prompt, _ in again[0]]


def test_off_it_trains_on_whole_batches_and_says_what_they_held(job_of):
    job, on = job_of("a", None), job_of("b", 4)
    files = run(job)
    assert files == run(job_of("c", None))
    assert files["policy/step=00004/model.safetensors"] != run(on)["policy/step=00004/model.safetensors"]
    for step, (generated, kept) in enumerate(counts(job), start=1):
        rows = read_table(job.out / "tokenlog", "responses", step=step).sort_by("response_id")["reward"].to_pylist()
        groups = [rows[i : i + N] for i in range(0, len(rows), N)]
        assert generated == len(groups) == 4
        assert kept == sum(min(group) < max(group) for group in groups)


def test_a_resumed_run_draws_the_same_prompts(job_of):
    whole = job_of("a", 3)
    files = run(whole)
    shutil.rmtree(whole.checkpoints / "step=00004")
    shutil.rmtree(whole.out)
    assert run(whole) == files


@settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(1, 20))
def test_groups_are_chosen_by_worth_and_kept_in_order(mixed, size):
    size = min(size, len(mixed))
    chosen = choose_groups(mixed, size)
    assert len(chosen) == size
    assert chosen == sorted(set(chosen))
    for yes in set(chosen):
        for no in set(range(len(mixed))) - set(chosen):
            assert (not mixed[yes], yes) < (not mixed[no], no)
