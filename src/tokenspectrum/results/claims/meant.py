"""What claims take for granted of params: other results' options, and the rules that go by a method's name.

A claim's words fix them: a 95 % interval, a fifth of the tokens, a denominator.  Params that say otherwise make another
claim of it, so it is not run, and the note says which value differs.  Params are whole, so what is not there has its
default.  A method's rule is that which it was trained with, as the stage of weights resolved it.  Knows plain values,
and no table.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ConfigDict, RootModel

from tokenspectrum.errors import UserError
from tokenspectrum.params.layers import resolve_layers
from tokenspectrum.results.claims.claim import Claim

ALPHA = 0.05  # claims read intervals of 95 %
OWN = "analysis.claims.layer"  # the layer that claims on attention speak of

# Claim -> options of results that it reads, below `analysis`, and the values that its words mean.  A number is a place
# in a list: methods.0 is what the other methods are set against.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "A3": {"explorers.reference": "full"},
    "A4": {"explorers.reference": "full"},
    "A6": {"scatter.alpha": ALPHA},
    "A7": {"support.p": 0.2},
    "A8": {"support.p": 0.2},
    "A9": {"dynamics.p": 0.2, "dynamics.layer": OWN},
    "A19": {"table1.alpha": ALPHA, "transfer.methods.0": "full"},
    "F1": {"pattern.alpha": ALPHA, "pattern.certain": 0.01},
    "F2": {"forktemp.alpha": ALPHA},
    "F3": {"overlap.p": 0.2},
    "F6": {"scaling.methods.0": "full"},
    "R1": {"isolation.alpha": ALPHA, "isolation.p": 0.2},
    "N1": {"lenses.alpha": ALPHA, "lenses.p": 0.2, "lenses.layer": OWN},
}

Fields = Mapping[str, Any]
FIFTH = {"p": 0.2}
# Without a layer in its name, a partition is of the middle layer; without `all`, its loss is over the kept tokens.
PARTITION = FIFTH | {"denominator": "selected", "layer": "mid", "first_n": None}
# The ANCHOR paper takes its soft weights at the query that emits the token.
SOFT = {"layer": "mid", "alignment": "decision", "floor": None}
LOW2HIGH = {"kind": "low2high"} | SOFT

# Name -> what every claim means by it.
NAMED: Mapping[str, Fields] = {
    "full": {"kind": "uniform"},
    "random20": {"kind": "random"} | FIFTH,
    "anchor20": {"kind": "anchor"} | PARTITION,
    "explorer20": {"kind": "explorer"} | PARTITION,
    "anchor20_all": {"kind": "anchor"} | PARTITION | {"denominator": "all"},
    "explorer20_all": {"kind": "explorer"} | PARTITION | {"denominator": "all"},
    "front20": {"kind": "front"} | FIFTH,
    "back20": {"kind": "back"} | FIFTH,
    "pred_low20": {"kind": "predictive-low"} | FIFTH,
    "pred_high20": {"kind": "predictive-high"} | FIFTH,
    "pred_low80": {"kind": "predictive-low", "p": 0.8},
    "loss_low20": {"kind": "loss-low"} | FIFTH,
    "loss_high20": {"kind": "loss-high"} | FIFTH,
    "low2high_shallow": LOW2HIGH | {"layer": "shallow"},
    "low2high_mid": LOW2HIGH,
    "low2high_deep": LOW2HIGH | {"layer": "deep"},
    "high2low_mid": {"kind": "high2low"} | SOFT,
    "static_anchor_mid": {"kind": "static-anchor"} | SOFT,
    "static_explorer_mid": {"kind": "static-explorer"} | SOFT,
    "low2high_shuffled": SOFT | {"kind": "shuffled", "matches": "low2high"},
    "low2high_equal_mean": SOFT | {"kind": "equal-mean", "matches": "low2high"},
}
# Claim -> what it means beside: the FORKING paper divides the loss by all tokens.
BESIDE: Mapping[str, Mapping[str, Fields]] = {
    "F5": {"pred_high20": {"denominator": "all"}, "pred_low80": {"denominator": "all"}},
    "F6": {"pred_high20": {"denominator": "all"}},
}
# Claim -> methods behind another result's rows, and subsets of `gradients.subsets` behind them.
METHODS: Mapping[str, tuple[str, ...]] = {
    "A3": ("explorer20",),
    "A4": ("full", "explorer20"),
    "A9": ("full",),
    "A19": ("full", "low2high_mid"),
    "F3": ("full",),
    "F4": ("full",),
    "F6": ("full", "pred_high20"),
}
SUBSETS: Mapping[str, tuple[str, ...]] = dict.fromkeys(("A10", "A12"), ("random20", "anchor20", "explorer20"))
# A subset's gradient is taken under both denominators, whatever its rule says.
NOT_OF_SUBSETS = "denominator"

SECTIONS = tuple(
    sorted(
        {f"analysis.{name.partition('.')[0]}" for of in OPTIONS.values() for name in of} - {"analysis.table1"}
        | {"gradients.subsets"}
    )
)


class Plain(RootModel[dict[str, Any]]):
    """A section as it stands in params, read by its names."""

    model_config = ConfigDict(frozen=True)


def differences(claim: Claim, given: Mapping[str, Mapping[str, Any]], layer: Any, n_layers: int) -> Iterator[str]:
    """What params say otherwise than the claim means, a few words each.

    `given` is sections by dotted name, and the rules of methods under `rules`.  `layer` is that of claims on attention,
    in a policy of `n_layers`.
    """
    for name, meant in OPTIONS.get(claim.id, {}).items():
        section, option, *place = name.split(".")
        means = layer if meant == OWN else meant
        found = given[f"analysis.{section}"].get(option, [means] if place else means)
        found = found[int(place[0])] if place else found
        if option == "alpha" and found != means:
            yield f"claims read 95 % intervals; analysis.{name} is {found}"
        elif not same(option, found, means, n_layers):
            yield f"analysis.{name} is {found}, the claim means {means}"
    for method in (*claim.methods, *METHODS.get(claim.id, ())):
        fields = {**NAMED[method], **BESIDE.get(claim.id, {}).get(method, {})}
        yield from of_rule(method, given["rules"].get(method, {}), fields, n_layers)
    for subset in SUBSETS.get(claim.id, ()):
        fields = {name: meant for name, meant in NAMED[subset].items() if name != NOT_OF_SUBSETS}
        yield from of_rule(f"gradients.subsets.{subset}", given["gradients.subsets"].get(subset, {}), fields, n_layers)


def of_rule(name: str, rule: Fields, fields: Fields, n_layers: int) -> Iterator[str]:
    """Where the rule of this name differs from the fields that are meant; of another kind, no more is told."""
    for field, meant in fields.items():
        found = rule.get(field, meant)
        if not same(field, found, meant, n_layers):
            yield f"{name} has {field} = {found}, the claim means {meant}"
            if field == "kind":
                return


def same(field: str, found: Any, meant: Any, n_layers: int) -> bool:
    """Whether two values mean the same: a layer has an index and perhaps a name."""
    if field != "layer":
        return bool(found == meant)
    try:
        one, other = (resolve_layers(tuple(v) if isinstance(v, list) else v, n_layers) for v in (found, meant))
    except UserError:
        return False
    return one == other
