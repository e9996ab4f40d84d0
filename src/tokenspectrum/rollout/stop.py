"""The tokens that end a response, the same for every engine.  Knows a generation config and a tokenizer."""

import json
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError


def stop_ids(eos: int | list[int] | None, tokenizer: Any) -> frozenset[int]:
    """The tokenizer's end of sequence together with `eos`, the eos_token_id of the policy's generation config.

    Raises UserError if neither names a token, or the config names what is none.
    """
    listed = eos if isinstance(eos, (list, tuple)) else [eos]
    for i in listed:
        if i is not None and (type(i) is not int or i < 0):
            raise UserError(f"eos_token_id in the policy's generation_config.json: {i!r:.40} is no token id")
    # One beyond the vocabulary is a default of the model's class, and is never sampled.
    ids = {i for i in (tokenizer.eos_token_id, *listed) if i is not None}
    if not ids:
        raise UserError("the policy names no end-of-sequence token; set eos_token in its tokenizer")
    return frozenset(ids)


def stop_ids_in(policy: Path, tokenizer: Any) -> frozenset[int]:
    """The same for a policy folder that is not loaded here."""
    file = policy / "generation_config.json"
    if file.is_file():
        return stop_ids(json.loads(file.read_text()).get("eos_token_id"), tokenizer)
    # transformers then derives one from the model's config.
    file = policy / "config.json"
    config = json.loads(file.read_text()) if file.is_file() else {}
    own = config.get("eos_token_id")
    return stop_ids((config.get("text_config") or {}).get("eos_token_id") if own is None else own, tokenizer)
