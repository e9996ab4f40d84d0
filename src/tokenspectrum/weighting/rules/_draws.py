"""Chance in rules: a number for every token, by the counter-based hash.  Knows names and positions, no scores."""

import numpy as np
import torch

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.weighting.batch import TokenBatch


def token_uniforms(batch: TokenBatch, domain: str) -> np.ndarray:
    """float64 N in [0, 1): a hash of (domain, seed, step, prompt_id, sample, position).  A domain is one use of it."""
    keys_R = [
        stream_key(domain, batch.seed, batch.step, prompt_id, int(sample))
        for prompt_id, sample in zip(batch.prompt_ids, batch.samples_R.tolist(), strict=True)
    ]
    keys_N = np.array(keys_R, dtype=np.uint64)[batch.response_N.numpy()]
    return uniforms(keys_N, batch.position_N.numpy())


def permuted(value_N: torch.Tensor, batch: TokenBatch, domain: str) -> torch.Tensor:
    """The values of each response, dealt anew among its tokens: token t gets that of the token with the t-th hash."""
    u_N = torch.from_numpy(token_uniforms(batch, domain))
    order_N = torch.argsort(u_N, stable=True)
    return value_N[order_N[torch.argsort(batch.response_N[order_N], stable=True)]]
