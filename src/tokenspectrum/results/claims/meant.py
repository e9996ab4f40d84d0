"""What claims take for granted of params: other results' options.

A claim's words fix them: a 95 % interval, a fifth of the tokens.  Params that say otherwise make another
claim of it, so it is not run, and the note says which value differs.  Params are whole, so what is not there has its
default.  Knows params as plain values, and no table.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ConfigDict, RootModel

from tokenspectrum.errors import UserError
from tokenspectrum.params.layers import resolve_layers
from tokenspectrum.results.claims.claim import Claim

ALPHA = 0.05  # claims read intervals of 95 %
OWN = "analysis.claims.layer"  # the layer that claims on attention speak of

# Claim -> options of results that it reads, below `analysis`, and the values that its words mean.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "A3": {"explorers.reference": "full"},
    "A4": {"explorers.reference": "full"},
    "A6": {"scatter.alpha": ALPHA},
    "A7": {"support.p": 0.2},
    "A8": {"support.p": 0.2},
    "A9": {"dynamics.p": 0.2, "dynamics.layer": OWN},
    "A19": {"table1.alpha": ALPHA},
    "F1": {"pattern.alpha": ALPHA, "pattern.certain": 0.01},
    "F2": {"forktemp.alpha": ALPHA},
    "F3": {"overlap.p": 0.2},
    "R1": {"isolation.alpha": ALPHA, "isolation.p": 0.2},
    "N1": {"lenses.alpha": ALPHA, "lenses.p": 0.2, "lenses.layer": OWN},
}

SECTIONS = tuple(
    sorted({f"analysis.{name.partition('.')[0]}" for of in OPTIONS.values() for name in of} - {"analysis.table1"})
)


class Plain(RootModel[dict[str, Any]]):
    """A section as it stands in params, read by its names."""

    model_config = ConfigDict(frozen=True)


def differences(claim: Claim, given: Mapping[str, Mapping[str, Any]], layer: Any, n_layers: int) -> Iterator[str]:
    """What params say otherwise than the claim means, a few words each.

    `given` is sections by dotted name; `layer` is that of claims on attention, in a policy of `n_layers`.
    """
    for name, meant in OPTIONS.get(claim.id, {}).items():
        section, option = name.split(".")
        means = layer if meant == OWN else meant
        found = given[f"analysis.{section}"].get(option, means)
        if option == "alpha" and found != means:
            yield f"claims read 95 % intervals; analysis.{name} is {found}"
        elif not same(option, found, means, n_layers):
            yield f"analysis.{name} is {found}, the claim means {means}"


def same(field: str, found: Any, meant: Any, n_layers: int) -> bool:
    """Whether two values mean the same: a layer has an index and perhaps a name."""
    if field != "layer":
        return bool(found == meant)
    try:
        one, other = (resolve_layers(tuple(v) if isinstance(v, list) else v, n_layers) for v in (found, meant))
    except UserError:
        return False
    return one == other
