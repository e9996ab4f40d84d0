"""reasoning-gym as a source of problems, and its own scorers as the reward."""

import json
import random

import pytest
from reasoning_gym.factory import DATASETS, create_curriculum, create_dataset

from tokenspectrum.errors import UserError
from tokenspectrum.params.gym import REFUSED
from tokenspectrum.params.prompts import Dataset
from tokenspectrum.prompts.golds import doubts
from tokenspectrum.prompts.sources import load
from tokenspectrum.reward import gym
from tokenspectrum.reward.alternative import math_verify_correct
from tokenspectrum.reward.boxed import verify
from tokenspectrum.reward.gold import decode_gold

SMALL = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}


def dataset(name: str, size: int = 3, seed: int = 5, **more: object) -> Dataset:
    source = {"kind": "reasoning_gym", "dataset": name, "size": size, "seed": seed} | more
    return Dataset.model_validate_json(json.dumps({"name": "mine", "source": source}))


def problems(name: str, **more: object):
    return load(dataset(name, **more), "data").problems


def verdict(problem, answer: str):
    return verify(f"So \\boxed{{{answer}}}", problem.answer, problem.data_source)


def test_problems_are_those_of_the_library_itself():
    own = create_dataset("chain_sum", size=3, seed=5, **SMALL)
    found = problems("chain_sum", options=SMALL)
    assert [problem.text for problem in found] == [item["question"].strip() for item in own]
    assert [decode_gold(problem.answer).answers for problem in found] == [(item["answer"],) for item in own]
    assert {problem.data_source for problem in found} == {"reasoning_gym/chain_sum"}


def test_another_seed_is_other_problems_and_a_repeat_is_counted():
    assert {p.text for p in problems("chain_sum")} != {p.text for p in problems("chain_sum", seed=6)}
    loaded = load(dataset("chain_sum", size=200, options=SMALL), "data")
    assert loaded.read == 200
    assert loaded.repeated > 0
    assert len(loaded.problems) + loaded.repeated == 200


def test_levels_are_the_curriculum_s_and_an_option_wins():
    curriculum = create_curriculum("chain_sum")
    curriculum.set_attr_level("num_digits", 2)
    config = curriculum.generate_configuration({"seed": 5, "size": 3})
    expected = [item["question"].strip() for item in DATASETS["chain_sum"][0](config=config)]
    assert [p.text for p in problems("chain_sum", levels={"num_digits": 2})] == expected
    short = problems("chain_sum", levels={"num_digits": 2}, options={"max_digits": 1, "min_digits": 1})
    assert all(len(word) == 1 for p in short for word in p.text.split(":")[-1].split() if word.isdigit())


def test_the_reward_is_the_scorer_s_between_wrong_and_right():
    (problem, *_) = problems("chain_sum", options=SMALL)
    (gold,) = decode_gold(problem.answer).answers
    right, wrong = verdict(problem, gold), verdict(problem, "1000")
    assert (right.correct, right.reward_raw) == (True, 1.0)
    assert (wrong.correct, wrong.reward_raw) == (False, -1.0)
    assert verify(f"it is {gold}", problem.answer, problem.data_source).reward_raw == -2.0
    # The library's default gives a right answer among other words a share.
    part = verdict(problem, f"{gold} apples")
    assert not part.correct
    assert part.reward_raw == pytest.approx(2 * len(gold) / len(f"{gold} apples") - 1)
    assert verdict(problem, f"\\text{{{gold}}}").correct
    assert math_verify_correct(f"\\boxed{{{gold}}}", problem.answer)
    assert not math_verify_correct("\\boxed{1000}", problem.answer)


def test_a_task_with_many_right_answers_is_scored_by_its_own_rule():
    (problem, *_) = problems("jugs")
    moves = json.loads(decode_gold(problem.answer).answers[0])
    assert verdict(problem, json.dumps(moves)).correct
    assert verdict(problem, json.dumps(["fill A", "empty A", *moves])).correct
    assert not verdict(problem, json.dumps(moves[:-1])).correct


# These have no answer of their own to compare.
WITHOUT = {"boxnet", "graph_color"}
SLOW = {"arc_agi", "group_anagrams"}
QUICK = sorted(set(DATASETS) - WITHOUT - SLOW - set(REFUSED))


@pytest.mark.parametrize("name", random.Random(0).sample(QUICK, 24))
def test_any_dataset_makes_a_problem_whose_gold_is_right(name):
    (problem,) = problems(name, size=1)
    (gold,) = decode_gold(problem.answer).answers
    assert json.loads(json.dumps(problem.answer)) == problem.answer
    task = decode_gold(problem.answer).gym
    assert gym.score(task, gold, gold) == 1.0
    assert 0.0 <= gym.score(task, "no such thing {", gold) <= 1.0


def test_golds_are_not_in_doubt():
    assert doubts(problems("chain_sum", size=20)) == []


FAULTS = [
    ({"name": "chain_sums"}, "has no dataset 'chain_sums'; did you mean chain_sum?"),
    ({"name": "chain_sum", "options": {"max_term": 3}}, "no option 'max_term'; did you mean max_terms?"),
    ({"name": "chain_sum", "options": {"seed": 3}}, "no option 'seed'"),
    ({"name": "chain_sum", "options": {"min_terms": 5, "max_terms": 2}}, "refuses its options: max_terms must be"),
    ({"name": "chain_sum", "options": {"min_terms": "many"}}, "refuses its options"),
    ({"name": "chain_sum", "levels": {"digits": 1}}, "no level of 'digits'; did you mean num_digits?"),
    ({"name": "chain_sum", "levels": {"num_digits": 99}}, "level 99 of num_digits; it has 0 to"),
]


@pytest.mark.parametrize(("given", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_what_reasoning_gym_does_not_know_is_one_line(given, message):
    with pytest.raises(UserError) as caught:
        problems(**given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("dataset mine: reasoning-gym")


def test_another_version_s_task_is_refused_and_not_scored():
    (problem, *_) = problems("chain_sum")
    with pytest.raises(UserError, match="run the prompts stage again"):
        gym.score(decode_gold(problem.answer).gym, "7", "another")


def test_without_the_package_it_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "reasoning_gym.factory", None)
    gym.generator.cache_clear()
    gym.entry.cache_clear()
    with pytest.raises(UserError, match=r"the package cannot be imported .* `make setup-laptop` installs it"):
        problems("chain_sum", seed=1234)
