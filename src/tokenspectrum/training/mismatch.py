"""How far the sampler's probabilities are from the trainer's, of the tokens that were sampled.

Both are of the same weights, so all that they differ in is arithmetic: another kernel, batch or precision.  The
transformers engine reports at its temperature: where that is not 1, they differ by it too.
Knows log-probabilities; knows no sampler and no trainer.
"""

import numpy as np

PERCENTILES = (1, 99)


def sampling_mismatch(logprob_N: np.ndarray, rollout_logprob_N: np.ndarray) -> dict[str, float]:
    """Columns of the table `metrics` for N tokens, from the trainer's and the sampler's log-probabilities (nats).

    With r = exp(logprob - rollout_logprob), of tokens that the sampler drew: mean(-ln r) (k1) and mean(r - 1 - ln r)
    (k3) both estimate KL(sampler | trainer).  k1 may be below 0, and k3 never is.  Then percentiles of r, and the
    largest |ln r|.
    """
    log_N = logprob_N.astype(np.float64) - rollout_logprob_N.astype(np.float64)
    # expm1 keeps the digits of a tiny difference; beyond 50 nats the ratio says no more than that it is vast.
    change_N = np.expm1(np.clip(log_N, -50.0, 50.0))
    low, high = np.percentile(change_N + 1, PERCENTILES)
    return {
        "sampling_k1": float(-log_N.mean()),
        "sampling_k3": float((change_N - log_N).mean()),
        "sampling_ratio_p01": float(low),
        "sampling_ratio_p99": float(high),
        "sampling_gap_max": float(np.abs(log_N).max()),
    }
