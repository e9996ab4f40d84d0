"""What a scorer of reasoning-gym may do with a policy's words: read them, in bounded time, and change nothing."""

import ast
import builtins
import importlib
import inspect
import json
import time
from pathlib import Path

import pytest
import reasoning_gym
from pydantic import ValidationError
from reasoning_gym.factory import DATASETS, create_dataset

from tokenspectrum.errors import UserError
from tokenspectrum.params.gym import REFUSED
from tokenspectrum.params.prompts import GymSource
from tokenspectrum.reward import gym

ROOT = Path(reasoning_gym.__file__).parent

# What runs a text, or parses one at any cost.
RUNNERS = {"eval", "exec", "parse_expr", "sympify", "Fraction"}
# Of these calls, those that no answer is shown to: the library's own problems, golds and code.
OWN = {
    ("algorithmic/number_sorting.py", "eval"),
    ("arithmetic/basic_arithmetic.py", "eval"),
    ("arithmetic/bitwise_arithmetic.py", "eval"),
    *((f"arithmetic/gsm_symbolic/generators_{part}.py", call) for part in ("00_49", "50_99") for call in RUNNERS),
    ("code/codeio.py", "exec"),
}


def runners(path: Path) -> set[tuple[str, str]]:
    """(file, what it calls) for every such call in a file of the library."""
    text = path.read_text()
    if not any(f"{name}(" in text for name in RUNNERS):  # some files take seconds to parse
        return set()
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    names = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
    return {(path.relative_to(ROOT).as_posix(), name) for name in names & RUNNERS}


def files(names) -> set[str]:
    return {Path(inspect.getfile(DATASETS[name][0])).relative_to(ROOT).as_posix() for name in names}


def test_the_refused_are_those_whose_files_run_or_parse_a_text():
    found = set().union(*(runners(path) for path in ROOT.rglob("*.py"))) - OWN
    parsed = files(set(REFUSED) - {"codeio", "composite", "rubiks_cube", "rush_hour"})  # these parse nothing
    assert {file for file, _ in found} == parsed


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_dataset_is_one_line_in_params_and_where_it_is_scored(name):
    assert name in DATASETS
    with pytest.raises(ValidationError, match=f"reasoning-gym's {name} is refused: .*docs/data.md"):
        GymSource(kind="reasoning_gym", dataset=name, size=1, seed=1)
    task = {"dataset": name, "seed": 1, "size": 1, "levels": {}, "options": {}, "index": 0}
    with pytest.raises(UserError, match=f"^reasoning-gym's {name} is refused") as caught:
        gym.score(json.dumps(task), "1", "1")
    assert "\n" not in str(caught.value)


def task_of(name: str) -> tuple[str, str]:
    spec = {"dataset": name, "seed": 3, "size": 1, "levels": {}, "options": {}}
    made = gym.entry(json.dumps(spec, sort_keys=True), 0)
    return json.dumps(spec | {"index": 0}), gym.answer_text(made)


SHORT = ["1e999999999", "9" * 1900, "A" + "[" * 1900, "{" * 1900, "a∧b∧c∧d∧e∧f∧g∧h∧i∧j∧k∧l∧m∧n∧o∧p∧q∧r∧s∧t∧u∧v∧w"]
SHORT += ["R999999999", "A+999999999 B-999999999", "move(" + ", " * 900, "1/" * 900, "Move disk " * 190]
SHORT += ['{"a":' + "[0," * 300 + "0" + "]" * 300 + "}", "[" * 900 + "]" * 900]
SLOW_TO_MAKE = {"arc_agi", "group_anagrams"}


@pytest.mark.parametrize("name", sorted(set(DATASETS) - set(REFUSED) - SLOW_TO_MAKE))
def test_no_answer_is_run_and_none_takes_long(name, monkeypatch):
    task, oracle = task_of(name)
    run: list[str] = []
    own = builtins.eval

    def watched(text, *args):
        run.append(str(text))
        return own(text, *args)

    monkeypatch.setattr(builtins, "eval", watched)
    monkeypatch.setattr(importlib.import_module("sympy"), "parse_expr", watched)
    for answer in ["[7919][0]", *SHORT]:
        start = time.process_time()
        assert 0 <= gym.score(task, answer, oracle) <= 1
        assert time.process_time() - start < 2
    assert not [text for text in run if "7919" in text]


def test_a_task_is_scored_as_it_was_made_however_often(monkeypatch):
    (made,) = create_dataset("knight_swap", size=1, seed=3)
    task, oracle = task_of("knight_swap")
    assert made["answer"] == oracle
    before = json.dumps(gym.entry(json.dumps({k: v for k, v in json.loads(task).items() if k != "index"}), 0))
    spec = json.dumps({k: v for k, v in json.loads(task).items() if k != "index"}, sort_keys=True)
    assert gym.score(task, oracle, oracle) == 1.0  # a right answer's boards are written into the entry
    assert json.dumps(gym.entry(spec, 0)) == before == json.dumps(made)


def test_an_answer_that_runs_on_earns_nothing():
    task, oracle = task_of("chain_sum")
    assert gym.score(task, f"{oracle} and", oracle) > 0
    assert gym.score(task, f"{oracle} {'and ' * 500}", oracle) == 0
