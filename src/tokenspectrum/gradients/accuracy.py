"""The gradient of expected accuracy, so that a token's share of it can be told.  Knows answers, not a model.

The score function: d E[correct] / d theta = E[(correct - b) grad log pi(y)], with the mean of the prompt's other
responses as baseline b.  It is unbiased for what the engine sampled from, at the base policy.

It is cross-fitted.  Prompts are dealt into two halves by a hash.  A token is held against the gradient of accuracy
on the other half, so that no response counts on both sides.
"""

from collections.abc import Sequence

import numpy as np

from tokenspectrum.training.data import seeded_order

HALVES = 2


def halves(prompt_ids: Sequence[str], seed: int) -> np.ndarray:
    """int64 R: the half, 0 or 1, of each response's prompt."""
    known = sorted(set(prompt_ids))
    place = {known[i]: turn % HALVES for turn, i in enumerate(seeded_order(known, "halves", seed, 0))}
    return np.array([place[prompt_id] for prompt_id in prompt_ids], dtype=np.int64)


def accuracy_coefficients(correct_R: np.ndarray, prompt_ids: Sequence[str], half_R: np.ndarray) -> np.ndarray:
    """float64 (2, R): for each half, the factor of grad log pi(y) of every response; 0 for the other half's.

    (correct - mean of the prompt's others) / responses of that half.  A prompt with one response gets 0.
    """
    correct_R, found_R = np.asarray(correct_R, np.float64), np.zeros(len(correct_R))
    ids = np.asarray(prompt_ids)
    for prompt_id in np.unique(ids):
        of = ids == prompt_id
        n = int(of.sum())
        if n > 1:
            found_R[of] = (correct_R[of] - correct_R[of].mean()) * n / (n - 1)
    per_half = [np.where(half_R == h, found_R / max(1, int((half_R == h).sum())), 0.0) for h in range(HALVES)]
    return np.stack(per_half)
