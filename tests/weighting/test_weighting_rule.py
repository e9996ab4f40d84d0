"""rule.json: exact round trip, and one clear line for everything else.  And how a rule is found."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenspectrum.errors import UserError
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.registry import make_rule, read_rule, rule_from_json, rules_in

positive = st.floats(1e-12, 1e6)
SOFT = {"kind": "low2high", "denominator": "all", "score": "entropy_norm", "layer": 3, "alignment": "token"}
SOFT |= {"tau": 0.3, "w_low": [1.0, 0.0], "w_high": [0.0, 1.0], "s_warm": 20, "eps_mode": "exact"}
RANKED = {"kind": "anchor", "denominator": "selected", "p": 0.2, "score": "entropy_raw", "layer": 0}
RANKED |= {"alignment": "decision", "scope": "response", "entropy_of": "old"}


@settings(max_examples=100, deadline=None)
@given(tau=positive, eps=positive, layer=st.integers(0, 99), s_warm=st.integers(1, 10**6))
def test_round_trip_of_a_soft_rule_is_exact(tau, eps, layer, s_warm):
    data = SOFT | {"tau": tau, "eps_mode": "literal", "eps": eps, "layer": layer, "s_warm": s_warm}
    rule = rule_from_json(json.dumps(data))
    assert rule.record() == data
    assert rule_from_json(rule.to_json()) == rule


@settings(max_examples=100, deadline=None)
@given(p=st.floats(1e-9, 1))
def test_round_trip_of_a_hard_rule_is_exact(p):
    rule = make_rule(**RANKED | {"p": p})
    assert (rule_from_json(rule.to_json()), rule.p) == (rule, p)


@pytest.mark.parametrize("data", [SOFT, RANKED, {"kind": "uniform", "denominator": "all"}])
def test_json_holds_just_what_is_used(data):
    text = json.dumps(data, indent=1, sort_keys=True) + "\n"
    assert rule_from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p": "0.2"}, r"p: .*valid number \(got '0.2'\)"),
        ({"p": True}, r"p: .*valid number \(got True\)"),
        ({"p": 0.0}, r"p: .*greater than 0 \(got 0.0\)"),
        ({"p": 1.5}, r"p: .*less than or equal to 1 \(got 1.5\)"),
        ({"layer": 1.5}, r"layer.*\(got 1.5\)"),
        ({"layer": "mid"}, "layer is 'mid', which is not resolved"),
        ({"scope": "microbatch"}, r"scope: .*'response', 'minibatch' or 'rollout' \(got 'microbatch'\)"),
        ({"denominator": "some"}, "denominator: .*'selected' or 'all'"),
        ({"denominator": None}, r"denominator: .*\(got None\)"),
        ({"entropy_of": "new"}, "entropy_of: .*'old' or 'current'"),
        ({"alignment": "shifted"}, "alignment: .*'decision' or 'token'"),
        ({"scope": "rollout", "entropy_of": "current"}, "scope rollout .* is not computable"),
        ({"colour": 1}, "colour: unknown key"),
        (SOFT | {"w_low": [1.0]}, r"w_low is \[1.0\], not \[1.0, 0.0\]"),
        (SOFT | {"denominator": "selected"}, "denominator is 'selected', not 'all'"),
        (SOFT | {"s_warm": 0}, r"s_warm: .*greater than or equal to 1 \(got 0\)"),
        (SOFT | {"tau": 0.0}, r"tau.*greater than 0 \(got 0.0\)"),
        (SOFT | {"tau": "auto"}, "tau is 'auto', which is not resolved"),
        (SOFT | {"eps_mode": "literal"}, "eps belongs to eps_mode literal"),
        (RANKED | {"kind": "type-matched"}, "of: .*"),
    ],
)
def test_a_damaged_rule_is_one_clear_line(change, message):
    with pytest.raises(UserError, match=rf"^rule\.json: {message}"):
        rule_from_json(json.dumps(change if "kind" in change else RANKED | change), "rule.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "line 1: not valid JSON"), ("[]", "expected an object"), ('{"kind": "uniform"}', "denominator")],
)
def test_other_text_is_refused(text, message):
    with pytest.raises(UserError, match=f"rule.json.*{message}"):
        rule_from_json(text, "rule.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"rule\.json: no such file; run its weights stage"):
        read_rule(tmp_path / "rule.json")
    (tmp_path / "rule.json").write_text(make_rule(kind="uniform", denominator="all").to_json())
    assert read_rule(tmp_path / "rule.json") == make_rule(kind="uniform", denominator="all")


@pytest.mark.parametrize("data", [SOFT, RANKED])
def test_each_entry_of_rule_json_is_needed(data):
    for name in data.keys() - {"kind"}:
        with pytest.raises(UserError, match=rf"^rule\.json: .*\b{name}\b.*; run its weights stage again"):
            rule_from_json(json.dumps({k: v for k, v in data.items() if k != name}), "rule.json")


def test_an_unknown_kind_is_refused():
    with pytest.raises(UserError, match="rule kind 'ancor': unknown; known are adaptive, anchor"):
        make_rule(kind="ancor", denominator="all")


def test_the_rule_that_the_docs_add_works():
    page = (Path(__file__).parents[2] / "docs" / "weighting.md").read_text().split("## Adding a rule")[1]
    module = ModuleType("middle")
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1), vars(module))
    ((kind, model),) = rules_in(module)
    assert kind == "middle"
    zero = torch.zeros(1, dtype=torch.int64)
    batch = TokenBatch(torch.tensor([10]), 0, 1, ["p"], zero, zero, {})
    weights = apply(model(kind="middle", denominator="selected", p=0.3, shift=0.1), batch)
    assert weights.weight_N.nonzero()[:, 0].tolist() == [4, 5, 6]
