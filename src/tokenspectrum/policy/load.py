"""Load a policy folder: model and tokenizer that fit each other, safetensors only, no remote code.

Every stage relies on this: the model has exactly one embedding row for each token of its tokenizer.  So all that an
engine samples can be decoded, and "full vocabulary" means one thing.  The policy stage ensures it.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from tokenspectrum.errors import UserError
from tokenspectrum.policy.config import read_config


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The folder's tokenizer, with a chat template and an end-of-sequence token."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as e:  # damaged files raise the library's own errors
        reason = (str(e).splitlines() or [type(e).__name__])[0]
        raise UserError(f"{path}: no loadable tokenizer ({reason:.160})") from None
    if tokenizer is None:
        raise UserError(f"{path}: no loadable tokenizer")
    if tokenizer.eos_token_id is None:
        raise UserError(f"{path}: the tokenizer has no end-of-sequence token; set eos_token in tokenizer_config.json")
    if not tokenizer.chat_template:
        raise UserError(f"{path}: the tokenizer has no chat template; give one in policy.chat_template")
    return tokenizer


def check_vocab(path: Path, vocab_size: int | None, tokenizer: PreTrainedTokenizerBase) -> None:
    """A model and a tokenizer of different sizes are a UserError."""
    if vocab_size != len(tokenizer):
        raise UserError(
            f"{path}: the model has {vocab_size} embedding rows, its tokenizer {len(tokenizer)} tokens; "
            "let the policy stage import the checkpoint (policy.kind: hub), or use the tokenizer that belongs to it"
        )


def load_policy(
    path: Path | str, *, dtype: str = "float32", device: str = "cpu"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """(model on `device` in `dtype`, ready to evaluate; tokenizer) of a folder that a stage wrote.

    Raises UserError for a folder without loadable safetensors, missing weights, a vocabulary of another size, and for
    a device that is not here.
    """
    path = Path(path)
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("systems.device: cuda, but torch sees no GPU here; run on a machine that has one, or set cpu")
    read_config(path)
    tokenizer = load_tokenizer(path)
    try:
        # With output_loading_info it returns a pair, which the library's annotation does not say.
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        model, info = loaded
    except Exception as e:  # transformers and safetensors raise types of their own for each kind of damage
        raise UserError(f"{path}: the model does not load ({type(e).__name__}: {str(e).splitlines()[0]})") from None
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            f"{path}: {len(missing)} weights are missing, {missing[0]} among them; fetch the checkpoint again"
        )
    check_vocab(path, model.get_input_embeddings().num_embeddings, tokenizer)
    return model.to(device).eval(), tokenizer
