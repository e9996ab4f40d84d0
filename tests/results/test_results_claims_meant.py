"""What claims mean: params that say otherwise are named, those of every preset and of other layer names are not."""

from pathlib import Path
from typing import Any

import pytest

from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.root import parse_params
from tokenspectrum.params.whole import whole
from tokenspectrum.results.claims.declared import CLAIMS
from tokenspectrum.results.claims.meant import OPTIONS, SECTIONS, differences
from tokenspectrum.results.claims.result import DECIDE

PRESETS = Path(__file__).parents[2] / "presets"


def sections(name: str) -> tuple[dict[str, Any], int]:
    """A preset's sections as a stage reads them, and how many layers its policy has."""
    data = read_preset(name, PRESETS).data
    params = parse_params(data, name)
    filled = whole(data, params)
    given = {}
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


def test_a_layer_counts_by_its_index(evidence):
    given, n_layers = evidence
    mid, deep = (resolve_layer(name, n_layers) for name in ("mid", "deep"))
    given["analysis.dynamics"]["layer"] = mid
    assert told("A9", given, n_layers) == []
    given["analysis.dynamics"]["layer"] = deep
    assert told("A9", given, n_layers) == [f"analysis.dynamics.layer is {deep}, the claim means mid"]
    assert told("A9", given, n_layers, layer="deep") == []


def test_what_is_said_is_of_claims():
    assert set(OPTIONS) <= set(DECIDE)
