"""Sizes of a decoder from its config.json, and how many weights that makes.  Knows no model code."""

from collections.abc import Mapping
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import LARGEST
from tokenspectrum.params.policy import HubShape


def shape_of(config: Mapping[str, Any], where: str) -> HubShape:
    """The sizes in a decoder's config; one that lacks any, or is no size, is a UserError that starts with `where`."""

    def size(name: str, default: int | None = None) -> int:
        value = config.get(name)
        if value is None and default is None:
            raise UserError(f"{where}: no {name}; only decoders with such a config can be planned")
        value = default if value is None else value
        if type(value) is not int or not 1 <= value <= LARGEST:
            raise UserError(f"{where}: {name} is {value!r:.40}, which is no size; fetch the checkpoint again")
        return value

    hidden, heads = size("hidden_size"), size("num_attention_heads")
    return HubShape(
        hidden=hidden,
        heads=heads,
        kv_heads=size("num_key_value_heads", heads),
        head_dim=size("head_dim", hidden // heads),
        intermediate=size("intermediate_size"),
        vocabulary=size("vocab_size"),
        tied=bool(config.get("tie_word_embeddings", True)),
    )


def layer_weights(shape: HubShape) -> int:
    """Weights of one decoder layer: q, k, v, o, and the three matrices of a gated MLP; norms and biases are nothing."""
    attention = shape.hidden * shape.head_dim * 2 * (shape.heads + shape.kv_heads)
    return attention + 3 * shape.hidden * shape.intermediate


def outer_weights(shape: HubShape) -> int:
    """Weights outside the layers: the embedding, and the output layer unless it is the same."""
    return shape.vocabulary * shape.hidden * (1 if shape.tied else 2)


def weights(shape: HubShape, layers: int) -> int:
    """Weights of the whole policy."""
    return layers * layer_weights(shape) + outer_weights(shape)
