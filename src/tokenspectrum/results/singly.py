"""Every replicate on its own: a row a method and replicate, as the result `seeds` has them.  Knows scores."""

from collections.abc import Iterator, Sequence
from typing import Any

from tokenspectrum.params.policy import HubShape
from tokenspectrum.params.replicates import Replicate
from tokenspectrum.policy.shape import weights
from tokenspectrum.results.benchmarks import BenchmarkName
from tokenspectrum.results.comparison import averages
from tokenspectrum.results.measured import BASE, Scores
from tokenspectrum.results.tables import Tables


def singly(
    scores: Scores,
    methods: Sequence[str],
    replicates: Sequence[Replicate],
    benchmarks: Sequence[BenchmarkName],
    reference: str,
    size: int | None,
) -> Iterator[dict[str, Any]]:
    """The base policy, then the methods; each replicate in order.  `size`: the policy's weights."""
    for method in (BASE, *methods):
        paired = method != reference and reference in methods
        for replicate in replicates:
            seeds = [replicate.seed]
            row: dict[str, Any] = {"method": method, "seed": replicate.seed, "base": replicate.base}
            row |= {b.heading: averages(scores, method, seeds, [b.name])[0] for b in benchmarks}
            (avg,) = averages(scores, method, seeds)
            difference = avg - averages(scores, reference, seeds)[0] if paired else None
            yield row | {
                "Avg": avg,
                "against": reference if paired else None,
                "difference": difference,
                "weights": size,
            }


def vocabulary(tables: Tables) -> int:
    """Tokens of the policy's vocabulary."""
    return tables.ask("SELECT count(*) AS n FROM vocab", of=["vocab"])[0]["n"]


def weights_of(policy: Any, vocabulary: int) -> int | None:
    """Weights of a policy of these params, norms and biases left out; None where params do not say its sizes."""
    shape = policy.shape
    if shape is None:
        return None
    if not isinstance(shape, HubShape):
        sizes = shape.model_dump(include={"hidden", "heads", "kv_heads", "head_dim", "intermediate"})
        shape = HubShape(**sizes, vocabulary=vocabulary, tied=True)
    return weights(shape, policy.num_layers)
