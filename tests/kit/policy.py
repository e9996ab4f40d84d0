"""Tokenizers of a few tokens that a test can name, and policies of random weights for them.

`letters`  one token a character: small enough for many whole trainings
`boxes`    digits and whole boxed answers: a random policy often answers, and is sometimes right
"""

from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, PreTrainedTokenizerFast, Qwen3Config

from tokenspectrum.policy.save import save_policy
from tokenspectrum.policy.tokenizer import build_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789+= .?"
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
# The sizes of a checkpoint as somebody else's transformers would leave it.
LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
}


def _make_tokenizer(tokens: list[str], unknown: str, pattern: str, template: str) -> PreTrainedTokenizerFast:
    vocab = {token: i for i, token in enumerate(["<pad>", "<eos>", *tokens])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", chat_template=template
    )


def letters() -> PreTrainedTokenizerFast:
    """43 tokens; the template asks for an answer by `=`."""
    return _make_tokenizer([*LETTERS], "?", ".", TEMPLATE + "{% if add_generation_prompt %}={% endif %}")


def boxes() -> PreTrainedTokenizerFast:
    r"""23 tokens: the digits, `+`, and \boxed{0} to \boxed{9}."""
    answers = [f"\\boxed{{{digit}}}" for digit in range(10)]
    return _make_tokenizer([*"0123456789+", *answers], "+", r"\\boxed\{.\}|.", TEMPLATE)


def _write(path: Path, tokenizer: PreTrainedTokenizerFast, make_config: Callable, seed: int, fields: dict) -> Path:
    common = {"max_position_embeddings": 64, "tie_word_embeddings": True, "bos_token_id": None}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = make_config(vocab_size=len(tokenizer), **common | ids | fields)
    torch.manual_seed(seed)
    save_policy(AutoModelForCausalLM.from_config(config), tokenizer, path)
    return path


def write_letters(path: Path, *, make_config: Callable[..., PreTrainedConfig] = Qwen3Config, **changes) -> Path:
    """A policy of 2 layers over `letters`; `changes` go into its config."""
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "initializer_range": 0.2,
    }
    return _write(path, letters(), make_config, 7, sizes | changes)


def write_boxes(path: Path, seed: int = 0, **changes) -> Path:
    """A Qwen3 of 3 layers over `boxes`; `changes` go into its config."""
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.3,
    }
    return _write(path, boxes(), Qwen3Config, seed, sizes | changes)


def write_checkpoint(path: Path, config: PreTrainedConfig | None = None, seed: int = 0, **save) -> Path:
    """A model of `config` (a Llama of LLAMA's sizes if None) and the tiny policy's tokenizer, saved by transformers.

    `save` goes to save_pretrained.
    """
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    config = config or LlamaConfig(vocab_size=len(tokenizer), **LLAMA)
    AutoModelForCausalLM.from_config(config).save_pretrained(path, **save)
    tokenizer.save_pretrained(path)
    return path
