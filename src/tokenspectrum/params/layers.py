"""Layer names.  Layers are 0-based; shallow and mid scale the ANCHOR paper's 8 and 20 of 36, deep is the last.

The paper writes "31, the final layer" of a 36-layer model; here deep = 35 there, and an explicit index asks for 31.
"""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field

from tokenspectrum.errors import UserError

Layer = Annotated[int, Field(ge=0)] | Literal["shallow", "mid", "deep"]
Value = TypeVar("Value")


def once(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """`values`, each of which must be there once; ValueError names one that is not."""
    if twice := [value for i, value in enumerate(values) if value in values[:i]]:
        raise ValueError(f"{twice[0]} is given twice; name each once")
    return values


# One layer, several, or all: where a score of several is meant, it is the mean over them.
Layers = Layer | Literal["mean"] | Annotated[tuple[Layer, ...], Field(min_length=2), AfterValidator(once)]


def resolve_layer(layer: int | str, n_layers: int) -> int:
    """0-based index of `layer` in a policy of `n_layers` layers; a layer that the policy lacks is a UserError."""
    names = {"shallow": 8 * n_layers // 36, "mid": 20 * n_layers // 36, "deep": n_layers - 1}
    index = names.get(layer, layer) if isinstance(layer, str) else layer
    if not isinstance(index, int) or not 0 <= index < n_layers:
        raise UserError(f"layer {layer!r}: the policy has layers 0 to {n_layers - 1}; use one, or shallow, mid or deep")
    return index


def resolve_layers(layers: int | str | tuple[int | str, ...], n_layers: int) -> int | tuple[int, ...]:
    """The same for what may be several layers: a tuple stays one, and `mean` is all layers.

    Two names of one layer are a UserError.
    """
    if layers == "mean":
        return tuple(range(n_layers)) if n_layers > 1 else 0
    if not isinstance(layers, tuple):
        return resolve_layer(layers, n_layers)
    found = tuple(resolve_layer(layer, n_layers) for layer in layers)
    for i, layer in enumerate(found):
        if layer in found[:i]:
            first = layers[found.index(layer)]
            raise UserError(f"layers {first!r} and {layers[i]!r} are both layer {layer} here; name each layer once")
    return found
