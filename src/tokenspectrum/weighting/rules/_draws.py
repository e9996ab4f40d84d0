"""Chance in rules: a number for every token, by the counter-based hash.  Knows names and positions, no scores."""

import numpy as np
import torch

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.weighting.batch import TokenBatch

BLOCK = 1 << 16  # tokens whose hashes are made at a time: their temporaries stay in the processor's cache


def token_uniforms(batch: TokenBatch, domain: str) -> np.ndarray:
    """float64 N in [0, 1): a hash of (domain, seed, step, prompt_id, sample, position).  A domain is one use of it."""
    keys_R = [
        stream_key(domain, batch.seed, batch.step, prompt_id, int(sample))
        for prompt_id, sample in zip(batch.prompt_ids, batch.samples_R.tolist(), strict=True)
    ]
    keys_R = np.array(keys_R, dtype=np.uint64)
    response_N, position_N = batch.response_N.numpy(), batch.position_N.numpy()
    u_N = np.empty(batch.n_tokens)
    for at in range(0, batch.n_tokens, BLOCK):
        part = slice(at, at + BLOCK)
        u_N[part] = uniforms(keys_R[response_N[part]], position_N[part])
    return u_N


def permuted(value_N: torch.Tensor, batch: TokenBatch, domain: str) -> torch.Tensor:
    """The values of each response, dealt anew among its tokens: token t gets that of the token with the t-th hash."""
    u_N = token_uniforms(batch, domain)
    dealt_N = torch.empty_like(value_N)
    end = 0
    for n in batch.lengths_R.tolist():
        start, end = end, end + n
        order = np.argsort(u_N[start:end], kind="stable")
        dealt_N[start:end] = value_N[start:end][torch.from_numpy(order)]
    return dealt_N
