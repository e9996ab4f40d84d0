"""Qwen3 models of random weights: of the tiny policy's sizes, and of Qwen3-0.6B's.  Knows transformers alone."""

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config

# hidden size, MLP, layers, heads, key heads, width of a head, vocabulary
TINY = (64, 128, 3, 4, 2, 32, 181)
QWEN3_0_6B = (1024, 3072, 28, 16, 8, 128, 151_936)


def make(sizes: tuple[int, ...], device: str, dtype: torch.dtype, positions: int) -> PreTrainedModel:
    """A model on the device, in eval mode."""
    hidden, mlp, layers, heads, key_heads, dim, vocabulary = sizes
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        head_dim=dim,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa").eval()
