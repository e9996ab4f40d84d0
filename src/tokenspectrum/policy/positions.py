"""How long a prompt with its response may be for a policy, and for the rows of its layers.

Knows a model's config.  Knows no responses.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from tokenspectrum.errors import UserError


def positions_of(config: Any) -> int | None:
    """The most tokens of a sequence; None where the text config of a model sets no limit."""
    most = getattr(config, "max_position_embeddings", None)
    return None if most is None else min(_reach(rope, most) for rope in _ropes(config))


def check_positions(config: Any, longest: int, where: str) -> None:
    """A UserError that begins with `where` if the policy has fewer than `longest` positions."""
    limit = positions_of(config)
    if limit is not None and longest > limit:
        why = " before its rotary embedding (longrope) is another" if any(map(_is_long, _ropes(config))) else ""
        raise UserError(
            f"{where}: {longest} tokens of prompt and response, but the policy has {limit} positions{why}; lower "
            "max_prompt_tokens or max_response_tokens"
        )


def check_windows(config: Any, layers: Iterable[int], longest: int, where: str) -> None:
    """A UserError that begins with `where` if one of `layers` does not see all of `longest` tokens.

    The capture (capture.py) refuses such a sequence when it comes; this tells before.
    """
    # A config keeps entries that its model does not know, such as the window of the checkpoint that it was made from.
    known = hasattr(type(config), "sliding_window") and getattr(config, "use_sliding_window", True)
    window = config.sliding_window if known else None
    limits = {"sliding_attention": window, "chunked_attention": getattr(config, "attention_chunk_size", None)}
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * config.num_hidden_layers
    for layer in layers:
        limit = limits.get(kinds[layer])
        if limit is not None and limit < longest:
            raise UserError(
                f"{where}: layer {layer} sees {limit} positions at most, but prompt and response may have {longest} "
                "tokens; take a layer of full attention, or lower max_prompt_tokens or max_response_tokens"
            )


def text_config_in(policy: Path) -> Any:
    """The text config of a policy folder that is not loaded here."""
    return AutoConfig.from_pretrained(policy, local_files_only=True, trust_remote_code=False).get_text_config()


def _ropes(config: Any) -> list[dict[str, Any]]:
    """What the config says of its rotary embedding; where layers differ, of each kind of layer."""
    found = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in found.values() if isinstance(value, dict)]
    return nested or [found]


def _reach(rope: dict[str, Any], most: int) -> int:
    """The limit under one rotary embedding, where the config names `most`.

    Under "longrope" one sequence beyond the original positions changes the angles of all that are in the batch with it,
    and so does "dynamic" beyond `most`: numbers would depend on how responses are batched.
    """
    original, factor = rope.get("original_max_position_embeddings") or most, rope.get("factor") or 1.0
    if _is_long(rope):
        return original
    stretched = {"linear": most, "yarn": original}.get(rope.get("rope_type", ""), 0) * factor
    return max(most, int(stretched))


def _is_long(rope: dict[str, Any]) -> bool:
    return rope.get("rope_type") == "longrope"
