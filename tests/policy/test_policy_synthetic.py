"""Synthetic problems against an independent solver that reads their text, and the worked solutions."""

import re
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.errors import UserError
from tokenspectrum.prompts import synthetic
from tokenspectrum.prompts.synthetic import FAMILIES, STAND_INS, STYLES, Draws, Mix, Spec, corpus, draw_worked, render

MIX = Mix(k_max=4, k_mean=2.0, guess=0.2, guess_per_step=0.0, unboxed=0.25, large=0.1)


def solve(text: str) -> int:
    """The answer from the problem's text alone, by Python's own arithmetic."""
    wording = r"(?:Mod 10, let|(?:Ann|Bob|Eva|Tom) turns a 0-9 dial:) (.*)(?:\. Find (\w)\.|\. Where is (\w)\?)"
    body, asked, place = re.fullmatch(wording, text).groups()
    values: dict[str, int] = {}
    for definition in body.split(", "):
        name, expression = definition.split("=")
        values[name] = eval(expression, {}, values)
    return values[asked or place] % 10


@given(st.sampled_from(sorted(FAMILIES)), st.integers(1, 9), st.floats(0, 1), st.integers(0, 2**31), st.integers(0, 99))
def test_answers_are_right_and_every_step_is_true(family: str, k: int, large: float, seed: int, index: int) -> None:
    worked = draw_worked(Draws("test", seed, index), Spec((family,), k, k, large))
    assert worked.answer == str(solve(worked.text))
    assert len(worked.steps) == k
    for step in worked.steps:
        assert eval(step.expression) % 10 == step.value


def test_styles_differ_as_they_say() -> None:
    worked = draw_worked(Draws("test", 0, 0), Spec(("chain",), 3, 3, large=0.5))
    texts = {style: render(worked, style) for style in STYLES}
    boxed = f"\\boxed{{{worked.answer}}}"
    assert [style for style, text in texts.items() if boxed not in text] == ["nobox"]
    for step in worked.steps:
        line = f"{step.label}={step.expression}={step.value}."
        assert [line in texts[style] for style in STYLES] == [True, True, False]
    assert texts["guess"] == f"The answer is {boxed}."
    with pytest.raises(ValueError, match="style 'loud' is none of"):
        render(worked, "loud")


@pytest.mark.parametrize("name", STAND_INS)
def test_benchmarks_are_distinct_in_their_ranges_and_a_prefix_when_smaller(name: str) -> None:
    problems = synthetic.make_benchmark(name, 64, seed=3)
    spec = STAND_INS[name]
    assert len({p.prompt_id for p in problems}) == 64
    assert {p.data_source for p in problems} == {f"synthetic_{name}"}
    assert {p.extra["family"] for p in problems} == set(spec.families)
    assert all(spec.k_min <= p.extra["steps"] <= spec.k_max for p in problems)
    assert synthetic.make_benchmark(name, 10, seed=3) == problems[:10]
    assert synthetic.make_benchmark(name, 64, seed=4) != problems


def test_answers_are_spread_evenly_so_that_guessing_is_right_one_time_in_ten() -> None:
    answers = [p.answer for name in STAND_INS for p in synthetic.make_benchmark(name, 500, seed=0)]
    counts = [answers.count(str(digit)) for digit in range(10)]
    # 2,000 answers: 200 each; chi-square with 9 degrees of freedom, 0.1 % point.
    assert sum((count - 200) ** 2 / 200 for count in counts) < 27.9


def test_training_problems_keep_their_range() -> None:
    problems = synthetic.make_train(200, seed=1, k_min=2, k_max=4)
    assert {p.extra["steps"] for p in problems} == {2, 3, 4}
    assert {p.extra["family"] for p in problems} == set(FAMILIES)


def test_too_many_problems_is_an_error() -> None:
    with pytest.raises(UserError, match="fewer than 2000 distinct"):
        synthetic.make_problems("x", Spec(("chain",), 1, 1, large=0.0), 2000, seed=0)


def test_more_steps_than_there_are_letters_is_an_error() -> None:
    assert synthetic.make_train(5, seed=0, k_min=9, k_max=9)
    with pytest.raises(UserError, match="k_max is 10, but synthetic problems have at most 9 steps"):
        synthetic.make_train(5, seed=0, k_min=2, k_max=10)


def test_an_unknown_benchmark_is_an_error() -> None:
    with pytest.raises(UserError, match="'aime25': no synthetic stand-in; there are math"):
        synthetic.make_benchmark("aime25", 4, seed=0)


def test_corpus_follows_its_shares_and_leaves_out_what_is_held_out() -> None:
    pairs = list(islice(corpus(0, MIX, held_out=()), 2000))
    careful = sum(solution.startswith(("Step", "Turn")) and "boxed" in solution for _, solution in pairs)
    guessed = sum(not solution.startswith(("Step", "Turn")) for _, solution in pairs)
    assert abs(careful / 2000 - 0.8 * 0.75) < 0.04
    assert abs(guessed / 2000 - 0.2) < 0.04
    held_out = {text for text, _ in pairs[:50]}
    rest = list(islice(corpus(0, MIX, held_out=held_out), 1500))
    assert not held_out & {text for text, _ in rest}
    assert rest[:20] == [pair for pair in pairs if pair[0] not in held_out][:20]


def test_the_share_of_large_literals_is_what_was_asked_for() -> None:
    for large in (0.0, 0.3, 1.0):
        literals = []
        for i in range(200):
            worked = draw_worked(Draws("test", 0, i), Spec(("chain",), 5, 5, large))
            literals += [int(step.expression[-1]) for step in worked.steps if "*" not in step.expression]
        assert abs(sum(literal > 4 for literal in literals) / len(literals) - large) < 0.06


def test_corpus_length_follows_k_mean() -> None:
    def mean_length(k_mean: float) -> float:
        return sum(len(text) for text, _ in islice(corpus(0, replace(MIX, k_max=8, k_mean=k_mean), ()), 300)) / 300

    assert mean_length(1.0) < mean_length(2.0) < mean_length(4.0)


def test_longer_problems_are_guessed_more_often() -> None:
    pairs = list(islice(corpus(0, replace(MIX, k_max=8, k_mean=8.0, guess=0.1, guess_per_step=0.1), ()), 3000))
    by_steps: dict[int, list[bool]] = {}
    for text, solution in pairs:
        by_steps.setdefault(text.count("=") - 1, []).append(solution.startswith("The"))
    for k in (1, 4, 7):
        share = sum(by_steps[k]) / len(by_steps[k])
        assert abs(share - (0.1 + 0.1 * (k - 1))) < 0.1
