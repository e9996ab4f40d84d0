"""Check that a checkpoint's architecture can be sampled and its attention rows captured.  A small twin is tried.

The twin has the checkpoint's config, but not its weights, one layer of each kind and few tokens.  Knows no weights and
no tokenizer.
"""

import copy
import logging
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tokenspectrum.errors import UserError
from tokenspectrum.policy.capture import capture_attention

log = logging.getLogger(__name__)

_TOKENS = 128
# A layer of a mixture of experts may hold billions of weights.  It is not tried here, and later stages find problems.
_MOST_WEIGHTS = 3_000_000_000


def _twin_config(config: Any) -> Any:
    twin = copy.deepcopy(config)
    # Some architectures compute this value, so it cannot be set.
    kinds = list(dict.fromkeys(vars(twin).get("layer_types") or ()))
    layers = min(max(1, len(kinds)), twin.num_hidden_layers)
    twin.num_hidden_layers = layers
    if kinds:
        twin.layer_types = kinds
    twin.vocab_size = _TOKENS
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(twin, name, None)
    return twin


def _twin(config: Any) -> PreTrainedModel | None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(_twin_config(config), dtype=torch.float32)
    if sum(p.numel() for p in model.parameters()) > _MOST_WEIGHTS:
        return None
    model = AutoModelForCausalLM.from_config(_twin_config(config), dtype=torch.float32)
    return model.eval()


def check_architecture(config: Any, where: str) -> None:
    """Raise a UserError that starts with `where` if no layer's attention of the architecture can be captured.

    `config` is the text config of a decoder in transformers.
    """
    try:
        twin = _twin(config)
    except Exception as e:  # whatever the architecture's own code raises
        reason = (str(e).splitlines() or [type(e).__name__])[0]
        raise UserError(
            f"{where}: {config.model_type} is not a decoder that can be built here ({reason:.160})"
        ) from None
    if twin is None:
        log.info("%s: a layer is too large to try the architecture here", where)
        return
    reason = ""
    ids = torch.arange(6)[None]
    for layer in range(twin.config.get_text_config().num_hidden_layers):
        try:
            with torch.inference_mode(), capture_attention(twin, [layer]):
                twin(input_ids=ids, attention_mask=torch.ones_like(ids))
            return
        except Exception as e:
            reason = (str(e).splitlines() or [type(e).__name__])[0]
    raise UserError(f"{where}: architecture {config.model_type} is not supported: {reason:.300}")
