"""A layer that was not measured is named at plan time, by every result that shows one, and by no other layer's name."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
from results_fixtures import LAYERS, save_params

from tokenspectrum.results.discover import results
from tokenspectrum.results.lacking import lacks
from tokenspectrum.stages import result as stage

PROBED = ("bases", "lenses", "maps", "scatter", "strip")
N_LAYERS = 4


def asked(layer, layers):
    """Whole params as far as these results are planned by them: 4 layers, of which shallow is 0, mid 2 and deep 3."""
    own = dict.fromkeys(PROBED, SimpleNamespace(layer=layer))
    return SimpleNamespace(
        preset="tiny",
        methods=("full",),
        replicates=(None,),
        signals=SimpleNamespace(),
        tokens=SimpleNamespace(layers=layers, rows=6),
        policy=SimpleNamespace(num_layers=N_LAYERS),
        analysis=SimpleNamespace(**own),
    )


@pytest.mark.parametrize("name", PROBED)
@pytest.mark.parametrize(
    ("layer", "layers", "lacking"),
    [
        ("mid", "all", False),
        (1, "all", False),
        ("mid", ("shallow", "mid", "deep"), False),
        ("mid", (2,), False),
        (3, ("deep",), False),
        ("mid", ("shallow", "deep"), True),
        (1, ("shallow", "mid", "deep"), True),
        ("deep", (0, 2), True),
    ],
)
def test_an_unmeasured_layer_is_one_line(name, layer, layers, lacking):
    line = f"layer {layer} of analysis.{name}.layer is not in tokens.layers; add it there"
    assert list(lacks(results()[name], asked(layer, layers))) == [line] * lacking


@pytest.mark.parametrize("name", PROBED)
@pytest.mark.parametrize("layers", ["all", ("mid",)])
def test_a_layer_that_the_policy_lacks_is_one_line(name, layers):
    (line,) = lacks(results()[name], asked(9, layers))
    assert line.startswith(f"analysis.{name}.layer: layer 9: the policy has layers 0 to 3")


def test_every_result_that_shows_a_layer_of_the_probe_is_checked():
    shows = {
        name
        for name, result in results().items()
        if "attention" in result.reads and result.params is not None and "layer" in result.params.model_fields
    }
    assert shows == set(PROBED)


@pytest.mark.parametrize("layer", range(N_LAYERS))
def test_what_is_refused_is_what_would_have_no_row(artifacts, params, layer):
    """The tables of the fixture hold two of four layers."""
    params["policy"]["shape"] = {"layers": N_LAYERS}
    params["analysis"]["strip"] = {"layer": layer}
    save_params(params)
    result = results()["strip"]
    folders = [word for source in result.reads for word in (f"--{source}", f"{artifacts}/{source}")]
    stage.main([result.module, *folders, "--csv", result.outs["csv"], "--png", result.outs["png"]])
    with Path(result.outs["csv"]).open() as f:
        there = bool(list(csv.DictReader(f)))
    assert there == (not list(lacks(result, asked(layer, LAYERS))))
