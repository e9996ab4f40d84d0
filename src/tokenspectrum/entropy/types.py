"""What the entropy room returns, and the variants that it knows.

Knows nothing of models, of reinforcement learning or of files: these are statistics of rows of numbers.
"""

from dataclasses import dataclass, make_dataclass

from torch import Tensor

from tokenspectrum.row_statistics import STATISTICS

# What a caller may ask for beside the entropy.  Some are sums over the row.  The others need the whole row sorted.
# Sorting costs more, and is meant for sampled rows.
STREAMING = tuple(s.variant for s in STATISTICS if s.variant and not s.whole)
SORTED = tuple(dict.fromkeys(s.variant for s in STATISTICS if s.variant and s.whole))
VARIANTS = STREAMING + SORTED


@dataclass(frozen=True)
class _Always:
    """The fields that every result has."""

    raw: Tensor
    """(Q,) H = -sum_j a_tj ln a_tj, with 0 <= H <= ln N_t."""
    norm: Tensor
    """(Q,) H / ln N_t; 0 where N_t = 1."""
    visible: Tensor
    """(Q,) int64: N_t, the number of positions that the query sees, itself included."""
    backend: str
    """The backend that computed this: reference, torch or triton."""


AttentionEntropy = make_dataclass(
    "AttentionEntropy",
    [(s.slot, Tensor | None, None) for s in STATISTICS if s.variant],
    bases=(_Always,),
    frozen=True,
    namespace={
        "__module__": __name__,
        "__doc__": """Statistics of head-averaged attention rows a_t: one entry a row, sequences in order, Q rows.

    Beside what comes always: a (Q,) field for each statistic of row_statistics.py, None where it was not asked for.
    Entropies are in nats; distance = sum_j a_tj (p - j) for a query at position p of its sequence, in positions;
    local_mass is the sum of a_tj over the last `local_window` positions, the query's own among them; fixed is the
    entropy over the first `fixed_k` positions of the sequence (all visible ones if fewer), topk that over the `top_k`
    largest probabilities, both renormalised; support_50 .. support_95 are int64.
    """,
    },
)


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
