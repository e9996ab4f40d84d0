"""What claims mean: params that say otherwise are named, those of every preset and of other layer names are not."""

from pathlib import Path
from typing import Any

import pytest

from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.root import parse_params
from tokenspectrum.params.whole import whole
from tokenspectrum.results.claims.declared import CLAIMS
from tokenspectrum.results.claims.meant import NAMED, OPTIONS, SECTIONS, differences
from tokenspectrum.results.claims.result import DECIDE

PRESETS = Path(__file__).parents[2] / "presets"


def resolved(rule: Any) -> dict[str, Any]:
    """A rule as the stage of weights writes it, layers by name."""
    found = rule.model_dump(mode="json")
    if "of" in found:
        inner = found.pop("of")
        found = inner | found | {"matches": inner["kind"]}
    return found


def sections(name: str) -> tuple[dict[str, Any], int]:
    """A preset's sections as a stage reads them, and how many layers its policy has."""
    data = read_preset(name, PRESETS).data
    params = parse_params(data, name)
    filled = whole(data, params)
    given = {"rules": {method: resolved(params.rules[method]) for method in params.methods}}
    for section in (*SECTIONS, "analysis.table1"):
        node = filled
        for key in section.split("."):
            node = node[key]
        given[section] = node
    return given, params.policy.num_layers


@pytest.fixture
def evidence():
    return sections("evidence")


def told(claim: str, given: dict[str, Any], n_layers: int, layer: Any = "mid") -> list[str]:
    (found,) = [c for c in CLAIMS if c.id == claim]
    return list(differences(found, given, layer, n_layers))


@pytest.mark.parametrize("name", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_every_preset_means_what_the_claims_do(name):
    given, n_layers = sections(name)
    assert {claim.id: found for claim in CLAIMS if (found := told(claim.id, given, n_layers))} == {}


@pytest.mark.parametrize("name", sorted({name for of in OPTIONS.values() for name in of if name.endswith("alpha")}))
def test_a_level_of_another_result_is_told_of_its_claims_alone(name, evidence):
    given, n_layers = evidence
    section = f"analysis.{name.split('.')[0]}"
    given[section]["alpha"] = 0.4
    for claim in CLAIMS:
        text = f"claims read 95 % intervals; analysis.{name} is 0.4"
        assert told(claim.id, given, n_layers) == [text] * (name in OPTIONS.get(claim.id, {}))


@pytest.mark.parametrize(
    ("claim", "method", "field", "value", "text"),
    [
        ("A16", "anchor20", "p", 0.3, "anchor20 has p = 0.3, the claim means 0.2"),
        ("A16", "anchor20_all", "denominator", "selected",
         "anchor20_all has denominator = selected, the claim means all"),
        ("A2", "full", "kind", "random", "full has kind = random, the claim means uniform"),
        ("A13", "low2high_deep", "layer", 0, "low2high_deep has layer = 0, the claim means deep"),
        ("A13", "low2high_mid", "alignment", "token", "low2high_mid has alignment = token, the claim means decision"),
        ("A15", "low2high_mid", "floor", 0.5, "low2high_mid has floor = 0.5, the claim means None"),
        ("F5", "pred_high20", "denominator", "selected", "pred_high20 has denominator = selected, the claim means all"),
        ("R2", "low2high_shuffled", "matches", "high2low",
         "low2high_shuffled has matches = high2low, the claim means low2high"),
    ],
)  # fmt: skip
def test_a_rule_that_says_otherwise_is_told(claim, method, field, value, text, evidence):
    given, n_layers = evidence
    given["rules"][method][field] = value
    assert told(claim, given, n_layers) == [text]


@pytest.mark.parametrize(("claim", "section"), [("A19", "transfer"), ("F6", "scaling")])
def test_a_difference_from_another_method_is_told_of_its_claim_alone(claim, section, evidence):
    given, n_layers = evidence
    given[f"analysis.{section}"]["methods"] = ["random20", "full", "low2high_mid", "pred_high20"]
    text = f"analysis.{section}.methods.0 is random20, the claim means full"
    assert [c.id for c in CLAIMS if told(c.id, given, n_layers)] == [claim]
    assert told(claim, given, n_layers) == [text]
    del given[f"analysis.{section}"]["methods"]
    assert told(claim, given, n_layers) == []


def test_a_claim_that_leaves_a_field_open_takes_any(evidence):
    given, n_layers = evidence
    given["rules"]["pred_high20"]["denominator"] = "selected"
    given["rules"]["low2high_mid"]["tau"] = 3.0
    assert told("A14", given, n_layers) == told("A13", given, n_layers) == []


def test_a_subset_of_another_fraction_is_told_and_its_denominator_is_not_asked(evidence):
    given, n_layers = evidence
    given["gradients.subsets"]["anchor20"] |= {"p": 0.3, "denominator": "all"}
    for claim in ("A10", "A12"):
        assert told(claim, given, n_layers) == ["gradients.subsets.anchor20 has p = 0.3, the claim means 0.2"]
    assert told("A16", given, n_layers) == []


def test_a_layer_counts_by_its_index(evidence):
    given, n_layers = evidence
    mid, deep = (resolve_layer(name, n_layers) for name in ("mid", "deep"))
    given["rules"]["low2high_mid"]["layer"] = mid
    assert told("A13", given, n_layers) == []
    given["analysis.dynamics"]["layer"] = deep
    assert told("A9", given, n_layers) == [f"analysis.dynamics.layer is {deep}, the claim means mid"]
    assert told("A9", given, n_layers, layer="deep") == []


def test_every_method_that_a_claim_needs_is_said():
    assert {name for claim in CLAIMS for name in claim.methods} <= set(NAMED)
    assert set(OPTIONS) <= set(DECIDE)
