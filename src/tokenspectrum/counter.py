"""Counter-based uniforms: every random number is a hash of its purpose, and does not depend on when it is drawn.

So masks and samples do not depend on ranks, batching, sharding or resuming.
Knows nothing of tokens or models.
"""

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def stream_key(domain: str, seed: int, step: int, prompt_id: str, sample: int) -> int:
    """64-bit key of one response's stream.  `domain` ("sample", "mask", "tie") separates the uses of one response."""
    text = f"{domain}\x1f{seed}\x1f{step}\x1f{prompt_id}\x1f{sample}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hash_bits(keys_N: np.ndarray, counters_N: np.ndarray) -> np.ndarray:
    """SplitMix64 of (key, counter): uint64, elementwise over broadcast inputs."""
    with np.errstate(over="ignore"):
        z = np.asarray(keys_N, np.uint64) + (np.asarray(counters_N).astype(np.uint64) + np.uint64(1)) * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _MIX1
        z = (z ^ (z >> np.uint64(27))) * _MIX2
        return z ^ (z >> np.uint64(31))


def uniforms(keys_N: np.ndarray, counters_N: np.ndarray) -> np.ndarray:
    """float64 in [0, 1) with 53 random bits, one for each (key, counter)."""
    return (hash_bits(keys_N, counters_N) >> np.uint64(11)).astype(np.float64) * 2.0**-53
