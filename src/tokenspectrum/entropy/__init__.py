"""Attention entropy and predictive entropy of language models, and every statistic of the attention row.

    from tokenspectrum.entropy import attention_entropy
    result = attention_entropy(q, k, cu_seqlens=offsets, query_start=prompt_lengths - 1, variants=("distance",))
    result.raw, result.norm, result.visible, result.distance

This room needs torch alone (and triton on a GPU); it knows nothing of models, reinforcement learning or files.
"""

from tokenspectrum.entropy.attention import attention_entropy, attention_rows
from tokenspectrum.entropy.predictive import predictive_entropy
from tokenspectrum.entropy.rows import support_size
from tokenspectrum.entropy.types import AttentionEntropy, PredictiveEntropy

__all__ = [
    "AttentionEntropy",
    "PredictiveEntropy",
    "attention_entropy",
    "attention_rows",
    "predictive_entropy",
    "support_size",
]
