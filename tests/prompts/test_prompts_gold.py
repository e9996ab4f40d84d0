"""The verifier against every row of the published benchmarks: own gold accepted, different golds refused, as listed."""

import json
from pathlib import Path

import pytest

from tokenspectrum.prompts.files import read_rows
from tokenspectrum.prompts.formats import parse
from tokenspectrum.prompts.selfcheck import self_check
from tokenspectrum.reward.answer import normalise
from tokenspectrum.reward.boxed import last_boxed

EXCEPTIONS = json.loads((Path(__file__).parent / "gold_exceptions.json").read_text())
ROWS = {"aime24": 30, "math": 5000, "math500": 500, "minerva_math": 272, "olympiadbench": 675}


@pytest.mark.parametrize("benchmark", sorted(ROWS))
def test_golds_as_published(data, benchmark):
    found = self_check(data / "benchmarks" / f"{benchmark}.jsonl", benchmark)
    listed = EXCEPTIONS[benchmark]
    assert found.problems == ROWS[benchmark]
    assert found.pairs > 7 * ROWS[benchmark]
    assert set(found.refused) == set(listed["refused"])
    assert set(found.accepted) == {(a, b) for a, others in listed["accepted"].items() for b in others}


def test_self_check_finds_what_is_wrong(tmp_path):
    rows = [
        {"problem": "a", "answer": "5", "solution": "so \\boxed{6}"},
        {"problem": "b", "answer": "8", "solution": "so 8"},
        {"problem": "c", "answer": "7", "solution": "so \\boxed{7}"},
        {"problem": "d", "answer": "7", "solution": "so \\boxed{7\\%}"},
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = self_check(path, "math")
    assert found.refused == ("0", "1")
    assert set(found.accepted) == {("2", "3")}


def test_normalising_a_gold_twice_changes_nothing(data):
    rows = read_rows(data / "benchmarks/math.jsonl")
    golds = {last_boxed(row.values["solution"]) for row in rows}
    assert len(golds) > 2000
    assert {g for g in golds if normalise(normalise(g)) != normalise(g)} == set()


def test_olympiadbench_counts(data):
    problems = [parse(r, "olympiadbench", "") for r in read_rows(data / "benchmarks/olympiadbench.jsonl")]
    golds = [json.loads(p.answer) for p in problems if p.answer.startswith('{"answers":')]
    assert sum(len(g["answers"]) > 1 for g in golds) == 92  # 94 are marked so, two of them with one answer
    assert sum("unit" in g for g in golds) == 8
    assert [g for g in golds if "tolerance" in g] == [{"answers": ["4.2"], "tolerance": 0.1, "unit": "%"}]


def test_math_test_and_math500_share_their_golds(data):
    whole = {r.values["problem"]: last_boxed(r.values["solution"]) for r in read_rows(data / "benchmarks/math.jsonl")}
    part = [parse(row, "math500", "") for row in read_rows(data / "benchmarks/math500.jsonl")]
    shared = [p for p in part if p.text in whole]
    assert len(shared) > 400
    assert all(normalise(p.answer) == normalise(whole[p.text]) for p in shared)
