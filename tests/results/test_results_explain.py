"""`spectrum explain RUN` on what the weights stage itself writes."""

import argparse
import shutil

import numpy as np
import pytest
import torch
from results_fixtures import save_params

from tokenspectrum.cli import explain
from tokenspectrum.errors import UserError
from tokenspectrum.tokenlog.writer import write_json
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.realised import realised
from tokenspectrum.weighting.registry import make_rule
from tokenspectrum.weighting.rule import Rule

EXPLORER = make_rule(
    kind="explorer", denominator="selected", p=0.2,
    score="entropy_norm", layer=1, alignment="decision", scope="response",
    entropy_of="old",
)  # fmt: skip
SOFT = make_rule(
    kind="low2high", denominator="all", score="entropy_norm",
    layer=1, alignment="decision", tau=0.5, s_warm=8, eps_mode="exact",
    w_low=(1.0, 0.0), w_high=(0.0, 1.0),
)  # fmt: skip


def write_weights(artifacts, method: str, rule: Rule, ends: list[int]) -> None:
    """The rule on both base policies, with the same scores in the opposite order."""
    for base, scores in ((7, torch.linspace(0.1, 0.9, 20)), (8, torch.linspace(0.9, 0.1, 20))):
        write_on_base(artifacts / f"weights/{method}-b{base}", method, rule, ends, scores)


def write_on_base(folder, method: str, rule: Rule, ends: list[int], scores: torch.Tensor) -> None:
    points = []
    for s in ends:
        batch = TokenBatch(
            lengths_R=torch.tensor([5, 15]),
            seed=0,
            step=s + 1,
            prompt_ids=["a", "b"],
            samples_R=torch.tensor([0, 0]),
            minibatch_R=torch.tensor([0, 0]),
            scores={"entropy_norm": scores},
        )
        points.append({"s": s, **realised(apply(rule, batch), np.array(["digit"] * 12 + ["word"] * 8))})
    (folder / "rule.json").write_text(rule.to_json())
    write_json(folder / "realised.json", {"method": method, "responses": 2, "tokens": 20, "realised": points})


@pytest.fixture
def ask(artifacts, params, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    save_params(params)

    def run(name: str) -> str:
        parser = argparse.ArgumentParser()
        explain.configure(parser.add_subparsers().add_parser("explain"))
        args = parser.parse_args(["explain", name])
        args.func(args)
        return capsys.readouterr().out

    return run


def lines(text: str, start: str) -> list[list[str]]:
    """The words behind `start` of each line that begins with it and a space."""
    return [x.removeprefix(start).split() for x in text.splitlines() if x.startswith(f"{start} ")]


def test_a_hard_rule(ask, artifacts):
    write_weights(artifacts, "explorer20", EXPLORER, [0])
    text = ask("explorer20")
    assert lines(text, "kind") == [["explorer"]] * 2
    assert lines(text, "layer") == [["1"]] * 2
    assert [base in text for base in ("resolved rule on base 7", "resolved rule on base 8")] == [True, True]
    # k = 1 of 5 and 3 of 15 tokens; both explorers' cuts lie on the line from 0.1 to 0.9.
    assert "realised on 20 tokens of 2 responses" in text
    cuts = [0.1 + 0.8 * i / 19 for i in (4, 17)]
    assert float(lines(text, "score_at_cut")[0][0]) == pytest.approx(sum(cuts) / 2, abs=1e-3)
    assert lines(text, "kept_fraction")[0] == ["0.2"]
    assert [line[:2] for line in lines(text, "digit")] == [["12", "0.08333"], ["12", "0.3333"]]
    assert [line[:2] for line in lines(text, "word")] == [["8", "0.375"], ["8", "0"]]
    assert "in training, seed 1 on base 7" in text
    assert "in training, seed 2 on base 8" in text
    assert lines(text, "length") == [["10", "10"]] * 2


def test_a_curriculum_shows_both_ends(ask, artifacts):
    write_weights(artifacts, "explorer20", SOFT, [0, 8])
    text = ask("explorer20")
    assert lines(text, "tau") == [["0.5"]] * 2
    assert lines(text, "w_low") == [["1,", "0"], ["1", "0"]] * 2  # of the rule, and at both ends
    assert lines(text, "w_high") == [["0,", "1"], ["0", "1"]] * 2
    assert lines(text, "on base policy 7") == lines(text, "on base policy 8") == [["s", "=", "0", "s", "=", "8"]]
    assert lines(text, "weight, quantile 1") == [["1", "1"]] * 2
    assert "by type of token, s = 8" in text


def test_an_untrained_seed_is_said(ask, artifacts):
    write_weights(artifacts, "full", make_rule(kind="uniform", denominator="all"), [0])
    shutil.rmtree(artifacts / "metrics/full-s2")
    text = ask("full")
    assert "in training, seed 1 on base 7" in text
    assert "seed 2 on base 8: not trained yet" in text


def test_an_unknown_run_is_one_line_that_names_those_there_are(ask):
    with pytest.raises(UserError, match=r"^run 'explorer': no such run in params\.yaml; there are full, explorer20$"):
        ask("explorer")


def test_a_run_whose_rule_is_not_made_or_damaged_is_one_line(ask, artifacts):
    write_weights(artifacts, "full", make_rule(kind="uniform", denominator="all"), [0])
    path = artifacts / "weights/full-b8/rule.json"
    path.write_text("{")
    with pytest.raises(UserError, match=r"rule\.json: not valid JSON"):
        ask("full")
    path.unlink()
    line = r"rule\.json: no such file; make it: snakemake --profile local \S+rule\.json"
    with pytest.raises(UserError, match=line):
        ask("full")
