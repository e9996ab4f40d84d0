"""Sizes of a decoder from its config.json, and how many weights that makes.  Knows no model code."""

from collections.abc import Mapping
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.policy import HubShape


def shape_of(config: Mapping[str, Any], where: str) -> HubShape:
    """The sizes in a decoder's config; one that lacks any is a UserError that starts with `where`."""
    try:
        heads = config["num_attention_heads"]
        return HubShape(
            hidden=config["hidden_size"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or config["hidden_size"] // heads,
            intermediate=config["intermediate_size"],
            vocabulary=config["vocab_size"],
            tied=bool(config.get("tie_word_embeddings", True)),
        )
    except KeyError as e:
        raise UserError(f"{where}: no {e.args[0]}; only decoders with such a config can be planned") from None


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
