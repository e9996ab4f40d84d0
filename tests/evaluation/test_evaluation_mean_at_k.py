"""mean@k by a scripted engine: what is counted, what is refused, and that every run meets the same draws."""

from dataclasses import replace

import pytest
from kit.policy import boxes
from kit.tables import sums, write_questions

from tokenspectrum.errors import UserError
from tokenspectrum.evaluation.mean_at_k import Sample, mean_at_k, sample_benchmark, summarise
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.rollout.parts import Place
from tokenspectrum.rollout.questions import Question
from tokenspectrum.rollout.types import Prompt, Response, Sampling

SAMPLING = Sampling(temperature=1.0, top_p=0.7, max_tokens=10, n=4)


class Scripted:
    """An engine whose sample i of prompt p says script[p][i]."""

    def __init__(self, tokenizer, script: dict[str, list[str]]) -> None:
        self.tokenizer, self.script, self.calls = tokenizer, script, []

    def generate(self, prompts, sampling, seed, step, domain="sample"):
        self.calls.append(([p.prompt_id for p in prompts], seed, step, domain))
        return [
            Response(p.prompt_id, i, p.token_ids, tuple(ids), (-1.0,) * len(ids), "stop")
            for p in prompts
            for i, text in enumerate(self.script[p.prompt_id])
            for ids in [[*self.tokenizer.encode(text), self.tokenizer.eos_token_id]]
        ]


def ask(script: dict[str, list[str]], gold: dict[str, str], **options) -> tuple[list[Sample], Scripted]:
    tokenizer = boxes()
    engine = Scripted(tokenizer, script)
    questions = [Question(p, [{"role": "user", "content": "1+1+1"}], gold[p], "sums") for p in script]
    how = {"max_prompt_tokens": 4, "integer_sources": ["sums"], "chunk": 2, "place": Place(), "facts": {}} | options
    return sample_benchmark(engine, tokenizer, questions, SAMPLING, 5, **how), engine


def test_both_verifiers_judge_every_sample():
    script = {
        "a": ["\\boxed{3}", "1\\boxed{2}\\boxed{3}", "3", "\\boxed{2}"],
        "b": ["\\boxed{1}", "\\boxed{1}", "\\boxed{1}", "\\boxed{0}"],
        "c": ["\\boxed{5}"] * 4,
    }
    # The strict verifier compares strings, math-verify values: 1/2 * 2 is 1.
    gold = {"a": "3", "b": "\\frac{1}{2} \\cdot 2", "c": "6"}
    done = []
    samples, engine = ask(script, gold, report=done.append)
    assert [(s.prompt_id, s.sample) for s in samples] == [(p, i) for p in "abc" for i in range(4)]
    assert [s.answer for s in samples[:4]] == ["3", "3", None, "2"]
    assert [s.correct for s in samples] == [True, True, False, False] + [False] * 8
    assert [s.correct_alt for s in samples] == [True, True, False, False, True, True, True, False] + [False] * 4
    assert [s.n_tokens for s in samples[:4]] == [2, 4, 2, 2]
    assert {s.n_dropped for s in samples} == {1}
    assert engine.calls == [(["a", "b"], 5, 0, "evaluate"), (["c"], 5, 0, "evaluate")]
    assert done == [2, 3]
    facts = summarise(samples, 4)
    assert facts["mean_at_k"] == pytest.approx((2 / 4 + 0 + 0) / 3)
    assert facts["mean_at_k_alternative"] == pytest.approx((2 / 4 + 3 / 4 + 0) / 3)
    assert (facts["right_by_strict_only"], facts["right_by_alternative_only"]) == (0, 3)
    assert (facts["problems"], facts["samples"], facts["prompts_cut"]) == (3, 12, 3)
    assert facts["boxed"] == pytest.approx(11 / 12)
    assert facts["cut_off"] == 0


def test_chunks_are_sampled_by_several_processes_and_judged_here():
    script = {name: [f"\\boxed{{{i}}}", "3", f"{i}\\boxed{{3}}", ""] for i, name in enumerate("abcdefg")}
    gold = dict.fromkeys(script, "3")
    done: list[int] = []
    one, engine = ask(script, gold)
    three, other = ask(script, gold, processes=3, report=done.append)
    assert repr(three) == repr(one)
    assert len(engine.calls) == 4
    assert [names for names, *_ in other.calls] == [["g"]]  # the last part has one chunk, which no fork takes
    assert done == [6, 7]


def test_integer_sources_are_the_caller_s():
    script, gold = {"a": ["\\boxed{3}"] * 4}, {"a": "03"}
    assert all(s.correct for s in ask(script, gold)[0])
    assert not any(s.correct for s in ask(script, gold, integer_sources=[])[0])


def test_a_lost_sample_is_refused():
    with pytest.raises(UserError, match="prompt a: 3 responses where exactly 4 are needed"):
        ask({"a": ["1"] * 3, "b": ["1"] * 4}, {"a": "1", "b": "1"})
    with pytest.raises(UserError, match="prompt b: 5 responses where exactly 4 are needed"):
        ask({"a": ["1"] * 4, "b": ["1"] * 5}, {"a": "1", "b": "1"})


def test_mean_at_k_takes_exactly_k_samples():
    one = Sample("a", 0, "3", True, False, 2, True, 0)
    samples = [replace(one, sample=i, correct=i < 3) for i in range(8)]
    assert mean_at_k(samples, 8) == 3 / 8
    assert mean_at_k(samples, 8, alternative=True) == 0
    with pytest.raises(UserError, match="problem a: 7 samples where mean@8 needs exactly 8"):
        mean_at_k(samples[:7], 8)
    with pytest.raises(UserError, match="problem a: 8 samples where mean@4 needs exactly 4"):
        mean_at_k(samples, 4)
    with pytest.raises(UserError, match="sample 0 twice"):
        mean_at_k([*samples, one], 8)
    with pytest.raises(UserError, match="no problems"):
        mean_at_k([], 8)


def test_problems_weigh_the_same():
    samples = [Sample(p, i, "1", p == "a", False, 1, True, 0) for p in "abc" for i in range(2)]
    assert mean_at_k(samples, 2) == pytest.approx(1 / 3)


def test_prompts_are_those_of_the_table(tmp_path):
    problems = [Problem("sums", "1+1", "2")]
    write_questions(tmp_path, {"MATH": problems, "AIME24": sums(3)})
    from tokenspectrum.rollout.questions import encode_questions, read_questions

    found = read_questions(tmp_path)
    assert list(found) == ["AIME24", "MATH"]
    assert found["MATH"] == [Question(problems[0].prompt_id, [{"role": "user", "content": "1+1"}], "2", "sums")]
    tokenizer = boxes()
    assert encode_questions(found["MATH"], tokenizer, 2) == [
        Prompt(problems[0].prompt_id, tuple(tokenizer.encode("+1")), 1)
    ]
