"""Remove those settings of a checkpoint that would change a run without the params' knowledge.

The params say how it samples, so its generation_config keeps only token ids.  transformers also refuses to save some
published ones.  Dropout and noise are turned off, so that the ratio of the first update is 1.  Knows JSON files.  Knows
no model.
"""

import json
import re
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from tokenspectrum.policy.config import read_object

_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
# The entries of a generation config that do not say how to sample.
_PLAIN = ("use_cache", "output_attentions", "output_hidden_states", "transformers_version", "_from_model_config")
# attention_dropout, resid_pdrop, hidden_dropout_prob, layerdrop, router_jitter_noise, ...
_NOISE = re.compile(r"(?:^|_)(?:p?drop(?:out)?|layer_?drop|jitter_noise|jitter_eps)(?:_p|_prob|_rate)?$|layerdrop$")


def plain_settings(generation: dict[str, Any]) -> dict[str, Any]:
    """The entries of a generation config that do not say how to sample, mainly token ids."""
    return {name: value for name, value in generation.items() if name in (*_TOKENS, *_PLAIN)}


def neutral_generation(config: Any) -> Any:
    """A GenerationConfig that can be saved, with the token ids of `config` and no sampling settings; None for None."""
    return None if config is None else GenerationConfig(**plain_settings(config.to_diff_dict()))


def _without_noise(config: dict[str, Any], changed: list[str], prefix: str = "") -> dict[str, Any]:
    quiet: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            value = _without_noise(value, changed, f"{prefix}{name}.")
        elif _NOISE.search(name) and type(value) in (int, float) and value:
            changed.append(f"{prefix}{name} {value}")
            value = type(value)(0)
        quiet[name] = value
    return quiet


def neutralise(folder: Path) -> list[str]:
    """Rewrite config.json and generation_config.json of `folder`.  Returns one phrase for each removed setting."""
    changed: list[str] = []
    file = folder / "config.json"
    config = json.loads(file.read_text())
    quiet = _without_noise(config, changed)
    if changed:
        file.write_text(json.dumps(quiet, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    file = folder / "generation_config.json"
    if file.is_file():
        generation = read_object(file, f"{file.name} of the checkpoint")
        kept = plain_settings(generation)
        gone = sorted(generation.keys() - kept.keys())
        if gone:
            changed += [f"generation_config's {name}" for name in gone]
            file.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")
    return changed
