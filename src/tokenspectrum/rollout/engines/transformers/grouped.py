"""Decodes without copying keys and values: the query heads of a group become queries of their shared key head.

transformers repeats keys and values for every query head before scaled_dot_product_attention.  For one new token a row
this costs more than the attention.  Here sums and mask are the same.  Knows transformers' attention interface.  Knows
no model.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel


@contextmanager
def grouped_decode(model: PreTrainedModel) -> Iterator[None]:
    """Within the block, one-token forward passes of an sdpa model attend by key head; all else is as before."""
    if model.config.get_text_config()._attn_implementation != "sdpa":
        yield
        return
    interface = AttentionInterface()
    original = interface["sdpa"]
    AttentionInterface.register("sdpa", _grouped(original))
    try:
        yield
    finally:
        AttentionInterface.register("sdpa", original)


def _grouped(original: Callable[..., Any]) -> Callable[..., Any]:
    def attention(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        rows, heads, length, dim = query.shape
        if length != 1 or heads == key.shape[1] or module.training:
            return original(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
        # (B, H, 1, D) -> (B, K, H / K, D): the query heads of a key head are adjacent.
        query = query.view(rows, key.shape[1], -1, dim)
        if attention_mask is not None:
            attention_mask = attention_mask.expand(rows, 1, query.shape[2], -1)
        out_BKGD = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling)
        return out_BKGD.reshape(rows, 1, heads, value.shape[-1]), None

    return attention
