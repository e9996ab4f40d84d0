"""Params of the rules: no inert option gets through, and every kind resolves to a rule that can be applied."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import parse_section
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.root import parse_params
from tokenspectrum.params.rules import RuleSection
from tokenspectrum.weighting.registry import RULES, rule_from_json

HARD = {"p": 0.2, "denominator": "selected"}
RANKED = HARD | {"scope": "response", "entropy_of": "old"}
ATTENTION = {"layer": "mid", "alignment": "decision", "score": "entropy_norm"}
SOFT = ATTENTION | {"tau": 0.5, "eps_mode": "exact"}
ADAPTIVE = {"pace": 20, "window": 3, "reward_gain": 0.01, "length_drift": 0.2}
ADAPTIVE |= {"collapse_length": [0.4, 2.0], "collapse_reward": 0.2, "fall": 0.3, "probe_every": 0}
OPTIONS = {
    "uniform": {},
    **dict.fromkeys(["random", "front", "back"], HARD),
    **dict.fromkeys(["predictive-high", "predictive-low"], RANKED),
    **dict.fromkeys(["loss-high", "loss-low"], HARD | {"scope": "response"}),
    **dict.fromkeys(["anchor", "explorer"], RANKED | ATTENTION),
    **{
        kind: {"of": {"kind": "explorer"} | RANKED | ATTENTION}
        for kind in ("type-matched", "position-matched", "covariate-matched")
    },
    **dict.fromkeys(["low2high", "high2low"], SOFT | {"s_warm": 20}),
    **dict.fromkeys(["static-anchor", "static-explorer"], SOFT),
    "adaptive": SOFT | ADAPTIVE,
    **{
        kind: {"of": {"kind": "low2high", "s_warm": 20} | SOFT}
        for kind in ("shuffled", "permuted-entropy", "equal-mean")
    },
}
STORED = json.loads(Path(__file__).with_name("rule_texts.json").read_text())
EVERY = RANKED | SOFT | {"s_warm": 20, "eps": 1e-6}


def parse(data):
    return parse_section(Path("params.yaml"), {"rules": {"it": data}}, "rules.it", RuleSection).root


def resolve(rule, n_layers):
    return rule.resolved(n_layers)


def test_every_kind_here_is_offered_and_every_option_is_described():
    assert OPTIONS.keys() <= RULES.keys()
    for model in RULES.values():
        assert model.__doc__
        assert all(field.description for field in model.model_fields.values())


def test_every_option_but_of_has_a_default_for_every_rule():
    for kind, model in RULES.items():
        if "of" not in model.model_fields:
            rule = resolve(parse({"kind": kind}), 9)
            assert rule_from_json(rule.to_json()) == rule


def test_the_docs_list_every_kind_with_its_options():
    page = (Path(__file__).parents[2] / "docs" / "weighting.md").read_text()
    rows = [line.strip("| \n").split(" | ") for line in page.split("## Kinds")[1].split("\n\n")[1].splitlines()[2:]]
    said = {kind.strip("` "): row[-1] for row in rows for kind in row[0].split(",")}
    assert said.keys() == RULES.keys(), "docs/weighting.md: a row for each kind in the table under Kinds"
    for kind, options in said.items():
        assert set(options.split(", ")) - {"none"} == RULES[kind].model_fields.keys() - {"kind"}, kind


@pytest.mark.parametrize("stored", STORED, ids=lambda stored: f"{stored['options']['kind']}, {stored['from']}"[:60])
def test_rule_json_keeps_its_bytes(stored):
    # Texts of the rules of all presets, and of every kind, as they were before a rule became one model.
    rule = resolve(parse(stored["options"]), stored["layers"])
    if stored["options"].get("tau") == "auto":
        rule = rule.model_copy(update={"tau": 0.731})
    assert rule.to_json() == stored["text"]
    assert rule_from_json(stored["text"]) == rule


def test_params_are_checked_without_torch():
    # Importing it takes seconds, and a plan that finds nothing to do must not.
    code = "import sys, tokenspectrum.params.root; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", OPTIONS)
def test_every_kind_resolves_to_all_that_it_needs(kind):
    rule = resolve(parse({"kind": kind} | OPTIONS[kind]), 9)
    assert (rule.kind, rule.layers) == (kind, (5,) if "layer" in OPTIONS[kind].get("of", OPTIONS[kind]) else ())
    assert rule_from_json(rule.to_json()) == rule
    if rule.looks_at is not None:
        assert (rule.looks_at.name == "predictive_entropy") == kind.startswith("predictive")


@pytest.mark.parametrize("kind", OPTIONS)
def test_every_option_but_of_has_a_default_and_no_other_is_accepted(kind):
    for name in OPTIONS[kind]:
        data = {"kind": kind} | {k: v for k, v in OPTIONS[kind].items() if k != name}
        if name != "of":
            assert getattr(parse(data), name) is not None
            continue
        with pytest.raises(UserError, match=rf"rules\.it\.{kind}\.{name}: Field required"):
            parse(data)
    for name in EVERY.keys() - OPTIONS[kind].keys() - {"eps"}:
        with pytest.raises(UserError, match=rf"rules\.it\.{kind}\.{name}: unknown key"):
            parse({"kind": kind} | OPTIONS[kind] | {name: EVERY[name]})


@pytest.mark.parametrize("kind", ["anchor", "predictive-high", "loss-high", "low2high", "static-anchor"])
def test_each_option_reaches_the_rule(kind):
    turned = {"p": 0.3, "denominator": "all", "scope": "minibatch", "entropy_of": "current", "layer": 2, "tau": 2.0}
    turned |= {"alignment": "token", "score": "entropy_raw", "s_warm": 5}
    for name in OPTIONS[kind].keys() & turned.keys():
        rule = resolve(parse({"kind": kind} | OPTIONS[kind] | {name: turned[name]}), 9)
        assert rule.record()[name] == turned[name]


def test_eps_comes_with_literal_and_only_there():
    soft = {"kind": "static-anchor"} | SOFT
    assert resolve(parse(soft | {"eps_mode": "literal", "eps": 1e-6}), 4).eps == 1e-6
    for change in ({"eps_mode": "literal"}, {"eps": 1e-6}):
        with pytest.raises(UserError, match="eps belongs to eps_mode literal"):
            parse(soft | change)


@pytest.mark.parametrize("kind", ["anchor", "predictive-high"])
def test_current_entropy_over_the_rollout_batch_is_not_computable(kind):
    with pytest.raises(UserError, match="not computable"):
        parse({"kind": kind} | OPTIONS[kind] | {"scope": "rollout", "entropy_of": "current"})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "ancor"}, "'ancor'.*does not match any"),
        ({"p": 0.2}, "Unable to extract tag"),
        ({"kind": "random", "p": 0, "denominator": "all"}, "greater than 0"),
        ({"kind": "random", "p": 1.1, "denominator": "all"}, "less than or equal to 1"),
        ({"kind": "low2high"} | SOFT | {"s_warm": 0}, "s_warm: .*greater than or equal to 1"),
        ({"kind": "low2high"} | SOFT | {"s_warm": 3, "tau": "automatic"}, "tau"),
        ({"kind": "static-anchor"} | SOFT | {"layer": "top"}, "layer"),
        ({"kind": "static-anchor"} | SOFT | {"layer": -1}, "layer"),
    ],
)
def test_wrong_values_are_one_line(data, message):
    with pytest.raises(UserError, match=message) as e:
        parse(data)
    assert "\n" not in str(e.value)


def test_auto_tau_is_left_open_and_a_layer_too_deep_is_refused():
    assert resolve(parse({"kind": "static-anchor"} | SOFT | {"tau": "auto"}), 9).tau == "auto"
    with pytest.raises(UserError, match="layer 9: the policy has layers 0 to 8"):
        resolve(parse({"kind": "static-anchor"} | SOFT | {"layer": 9}), 9)


def test_yaml_reads_as_written():
    text = "{kind: low2high, layer: deep, alignment: token, score: entropy_raw, tau: auto, s_warm: 20, eps_mode: exact}"
    assert parse(yaml.safe_load(text)).s_warm == 20


@pytest.mark.parametrize("kind", ["loss-high", "loss-low"])
def test_loss_magnitude_is_always_of_the_policy_being_updated(kind):
    rule = resolve(parse({"kind": kind} | OPTIONS[kind]), 9)
    assert rule.looks_at.name == "loss_magnitude"
    assert rule.needs_current
    with pytest.raises(UserError, match="scope"):
        parse({"kind": kind} | OPTIONS[kind] | {"scope": "rollout"})


@pytest.mark.parametrize("kind", ["type-matched", "position-matched", "covariate-matched"])
@pytest.mark.parametrize("matches", ["anchor", "predictive-low", "loss-high"])
def test_a_control_is_the_rule_that_it_matches_but_for_the_choice(kind, matches):
    of = {"kind": matches} | OPTIONS[matches]
    rule, other = resolve(parse({"kind": kind, "of": of}), 9), resolve(parse(of), 9)
    assert rule.of == other
    assert rule.record() == other.record() | {"kind": kind, "matches": matches}
    assert (rule.needs_current, rule.looks_at) == (other.needs_current, other.looks_at)
    assert rule.needs_types == (kind != "position-matched")
    assert rule.needs_predictive == (kind == "covariate-matched")
    for wrong in ({"kind": "random"} | HARD, {"p": 0.2}, of | {"tau": 1.0}):
        with pytest.raises(UserError, match=r"rules\.it"):
            parse({"kind": kind, "of": wrong})


@pytest.mark.parametrize(
    ("rule", "change", "said"),
    [
        ({"kind": "anchor", "first_n": 90}, {}, "rules.full.first_n: 90 reaches the longest response (90 tokens)"),
        ({"kind": "anchor", "layer": "mean"}, {"tokens.layers": [1]}, "rules.full.layer: mean is not in tokens.layers"),
        ({"kind": "anchor", "layer": [0, 7]}, {}, "rules.full.layer: layer 7: the policy has layers 0 to 2"),
        ({"kind": "anchor", "layer": ["deep", 2]}, {}, "rules.full.layer: layers 'deep' and 2 are both layer 2 here"),
        ({"kind": "anchor", "layer": ["mid", "mad"]}, {}, "rules.full.layer.1: must be a whole number"),
        ({"kind": "shuffled", "of": {"kind": "low2high", "layer": 9}}, {}, "rules.full.of.layer: layer 9: the policy"),
        ({"kind": "shuffled", "of": {"kind": "anchor"}}, {}, "rules.full.of: kind: must be low2high"),
        ({"kind": "low2high", "floor": 1.0}, {}, "rules.full.floor: must be less than 1 (got 1.0)"),
        ({"kind": "anchor", "floor": 0.5}, {}, "rules.full.floor: unknown key"),
        ({"kind": "adaptive", "s_warm": 9}, {}, "rules.full.s_warm: unknown key"),
        ({"kind": "adaptive", "cosine": 0.1}, {}, "probe_every above 0 and cosine belong together"),
        (
            {"kind": "adaptive", "collapse_length": [1.6, 0.5]},
            {},
            "[1.6, 0.5] are not a bound below 1 and one above it",
        ),
        ({"kind": "adaptive", "collapse_length": [1.1, 2.0]}, {}, "every length would be a collapse"),
        ({"kind": "adaptive", "probe_every": 2, "cosine": 1.5}, {}, "must be less than or equal to 1 (got 1.5)"),
    ],
)
def test_a_mistake_is_one_line_at_plan_time(rule, change, said):
    presets = Path(__file__).resolve().parents[2] / "presets"
    with pytest.raises(UserError) as e:
        read_preset("tiny", presets, {"methods": ["full"], "rules.full": rule} | change)
    assert said in str(e.value)
    assert "\n" not in str(e.value)


def test_what_has_no_value_is_not_in_rule_json():
    for kind, name, value in (("anchor", "first_n", 8), ("low2high", "floor", 0.5)):
        rule = resolve(parse({"kind": kind}), 9)
        assert name not in rule.record()
        assert resolve(parse({"kind": kind, name: value}), 9).record() == rule.record() | {name: value}


def test_the_layer_of_a_matched_rule_is_checked_at_plan_time():
    data = read_preset("tiny", Path(__file__).resolve().parents[2] / "presets").data
    data["rules"]["control"] = {"kind": "type-matched", "of": {"kind": "anchor"} | RANKED | ATTENTION | {"layer": 99}}
    data["methods"].append("control")
    with pytest.raises(UserError, match=r"rules\.control\.of\.layer: .*99"):
        parse_params(data, "tiny")
