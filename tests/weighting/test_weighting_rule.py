"""rule.json: exact round trip, and one clear line for everything else.  And the registry's promise."""

import json
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenspectrum.errors import UserError
from tokenspectrum.weighting import masks, registry
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.registry import Outcome, register
from tokenspectrum.weighting.rule import Rule, read_rule

positive = st.floats(1e-12, 1e6)
pairs = st.tuples(st.floats(0, 2), st.floats(0, 2))
SOFT = {"kind": "low2high", "denominator": "all", "score": "entropy_norm", "layer": 3, "alignment": "token"}
SOFT |= {"tau": 0.3, "w_low": [1.0, 0.0], "w_high": [0.0, 1.0], "s_warm": 20, "eps_mode": "exact"}
RANKED = {"kind": "anchor", "denominator": "selected", "p": 0.2, "score": "entropy_raw", "layer": 0}
RANKED |= {"alignment": "decision", "scope": "response", "entropy_of": "old"}


@settings(max_examples=100, deadline=None)
@given(p=st.floats(1e-9, 1), tau=positive, eps=positive, low=pairs, high=pairs, layer=st.integers(0, 99))
def test_round_trip_is_exact(p, tau, eps, low, high, layer):
    rule = Rule("low2high", "all", p, "x", layer, "decision", "response", "old", tau, low, high, 7, "literal", eps)
    assert Rule.from_json(rule.to_json()) == rule


@pytest.mark.parametrize("data", [SOFT, RANKED, {"kind": "uniform", "denominator": "all"}])
def test_json_holds_just_what_is_used(data):
    text = json.dumps(data, indent=1, sort_keys=True) + "\n"
    assert Rule.from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p": "0.2"}, "p is '0.2'"),
        ({"p": True}, "p is True"),
        ({"p": 0.0}, "p is 0.0; expected more than 0 and at most 1"),
        ({"p": 1.5}, "p is 1.5"),
        ({"layer": 1.5}, "layer is 1.5"),
        ({"scope": "microbatch"}, "scope is 'microbatch'; expected one of response, minibatch, rollout"),
        ({"denominator": "some"}, "denominator is 'some'"),
        ({"denominator": None}, "denominator is None"),
        ({"entropy_of": "new"}, "entropy_of is 'new'"),
        ({"alignment": "shifted"}, "alignment is 'shifted'"),
        ({"scope": "rollout", "entropy_of": "current"}, "not computable"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"w_low": [1.0]}, r"w_low is \[1.0\]"),
        ({"s_warm": 0}, "s_warm is 0"),
        ({"tau": 0.0}, "tau is 0.0"),
        ({"eps_mode": "literal"}, "eps belongs to eps_mode literal"),
    ],
)
def test_a_damaged_rule_is_one_clear_line(change, message):
    with pytest.raises(UserError, match=message):
        Rule.from_json(json.dumps(RANKED | change), "rule.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "line 1: not valid JSON"), ("[]", "expected an object"), ('{"kind": "uniform"}', "denominator")],
)
def test_other_text_is_refused(text, message):
    with pytest.raises(UserError, match=f"rule.json.*{message}"):
        Rule.from_json(text, "rule.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"rule\.json: no such file; run its weights stage"):
        read_rule(tmp_path / "rule.json")
    (tmp_path / "rule.json").write_text(Rule("uniform", "all").to_json())
    assert read_rule(tmp_path / "rule.json") == Rule("uniform", "all")


def tiny_batch():
    zero = torch.zeros(1, dtype=torch.int64)
    return TokenBatch(torch.tensor([3]), 0, 1, ["p"], zero, zero, {"entropy_raw": torch.tensor([0.1, 0.2, 0.3])})


def test_an_unknown_kind_and_a_missing_field_are_refused():
    with pytest.raises(UserError, match="rule kind 'ancor': unknown; known are anchor"):
        apply(Rule("ancor", "all"), tiny_batch())
    for kind, needs in registry.NEEDS.items():
        if needs:
            with pytest.raises(UserError, match=f"rule {kind}: {needs[0]} is missing"):
                apply(Rule(kind, "all"), tiny_batch())


def test_a_new_rule_is_one_function():
    before = dict(registry.RULES)

    @register("every-other", needs=("p",))
    def every_other(rule, batch):
        chosen_N = batch.position_N % 2 == 0
        return Outcome(chosen_N * rule.p, chosen_N)

    try:
        assert apply(Rule("every-other", "all", p=0.5), tiny_batch()).weight_N.tolist() == [0.5, 0.0, 0.5]
        with pytest.raises(ValueError, match="registered twice"):
            register("every-other")(every_other)
    finally:
        del registry.RULES["every-other"], registry.NEEDS["every-other"]
    assert before == registry.RULES


def test_the_rule_that_the_docs_add_works():
    page = (Path(__file__).parents[2] / "docs" / "weighting.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    try:
        exec(code, dict(vars(masks)))
        zero = torch.zeros(1, dtype=torch.int64)
        batch = TokenBatch(torch.tensor([10]), 0, 1, ["p"], zero, zero, {})
        weights = apply(Rule("middle", "selected", p=0.3), batch)
        assert weights.weight_N.nonzero()[:, 0].tolist() == [3, 4, 5]
    finally:
        registry.RULES.pop("middle", None)
        registry.NEEDS.pop("middle", None)
