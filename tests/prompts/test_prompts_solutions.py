"""Published solutions as pairs: each belongs to its prompt, and the box in it is the gold."""

import json

import pytest
from kit.tables import write_questions

from tokenspectrum.errors import UserError
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.prompts.solutions import main
from tokenspectrum.reward.boxed import verify


@pytest.fixture
def folder(tmp_path):
    rows = [{"problem": f"What is {i}+1?", "solution": f"It is $\\boxed{{{i + 1}}}$."} for i in range(5)]
    (tmp_path / "math.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    problems = [Problem("math", rows[i]["problem"], str(i + 1)) for i in (3, 1)]
    write_questions(tmp_path / "prompts", {"train": problems})
    return tmp_path


def run(folder, **changes):
    flags = {"prompts": folder / "prompts", "published": folder / "math.jsonl", "out": folder / "pairs.jsonl"} | changes
    main([str(word) for flag, value in flags.items() for word in (f"--{flag}", value)])
    return [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]


def test_each_prompt_has_its_own_solution_which_is_right(folder):
    found = run(folder)
    assert [pair["answer"] for pair in found] == ["4", "2"]
    for pair in found:
        assert pair["prompt"][-1]["content"].startswith(f"What is {int(pair['answer']) - 1}+1?")
        assert verify(pair["response"], pair["answer"], "math").correct


def test_a_file_without_the_solution_is_one_line(folder):
    (folder / "other.jsonl").write_text('{"problem": "Why?", "solution": "So."}\n')
    with pytest.raises(UserError, match=r"other\.jsonl: no solution to prompt [0-9a-f]{16} \(What is 3\+1\?"):
        run(folder, published=folder / "other.jsonl")
