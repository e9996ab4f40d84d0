"""What the entropy room returns, and the variants that it knows.

Knows nothing of models, of reinforcement learning or of files: these are statistics of rows of numbers.
"""

from dataclasses import dataclass

from torch import Tensor

# Statistics that a caller may ask for beside the entropy itself.  The first three are sums over the row (streaming);
# the last two need the whole row sorted, so they cost more and are meant for sampled rows.
STREAMING = ("distance", "local_mass", "fixed")
SORTED = ("topk", "support")
VARIANTS = STREAMING + SORTED

SUPPORT_MASSES = (0.50, 0.80, 0.90, 0.95)


@dataclass(frozen=True)
class AttentionEntropy:
    """Statistics of head-averaged attention rows a_t, one entry a row, sequences in order (Q = number of rows).

    Entropies are in nats.  Fields that were not asked for are None.
    """

    raw: Tensor
    """(Q,) H = -sum_j a_tj ln a_tj, with 0 <= H <= ln N_t."""
    norm: Tensor
    """(Q,) H / ln N_t; 0 where N_t = 1."""
    visible: Tensor
    """(Q,) int64: N_t, the number of positions that the query sees, itself included."""
    backend: str
    """The backend that computed this: reference, torch or triton."""
    distance: Tensor | None = None
    """(Q,) sum_j a_tj (p - j) for a query at position p of its sequence: mean distance, in tokens."""
    local_mass: Tensor | None = None
    """(Q,) sum of a_tj over the last `local_window` positions, the query's own among them."""
    fixed: Tensor | None = None
    """(Q,) entropy over the first `fixed_k` positions of the sequence (all visible ones if fewer), renormalised."""
    topk: Tensor | None = None
    """(Q,) entropy over the `top_k` largest probabilities, renormalised."""
    support_50: Tensor | None = None
    """(Q,) int64: fewest positions that hold 50 % of the mass."""
    support_80: Tensor | None = None
    support_90: Tensor | None = None
    support_95: Tensor | None = None


@dataclass(frozen=True)
class PredictiveEntropy:
    """Log-probability of the targets and entropy of the whole next-token distribution, both in nats."""

    logprob: Tensor
    """(N,) ln softmax(logits / temperature)[target], <= 0."""
    entropy: Tensor
    """(N,) -sum_v p_v ln p_v over the whole vocabulary, with 0 <= H <= ln V."""
    backend: str
    """The backend that computed this: reference, torch or triton."""


@dataclass(frozen=True)
class Options:
    """The settings of the optional statistics, checked (see `inputs.check_options`)."""

    variants: frozenset[str]
    local_window: int
    fixed_k: int
    top_k: int

    @property
    def sorts(self) -> bool:
        """Whether a statistic was asked for that needs the whole row."""
        return bool(self.variants.intersection(SORTED))
