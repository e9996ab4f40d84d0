"""Every replicate on its own: a row a method and replicate, as the result `seeds` has them.  Knows scores."""

from collections.abc import Iterator, Sequence
from typing import Any

from tokenspectrum.params.replicates import Replicate
from tokenspectrum.results.benchmarks import BenchmarkName
from tokenspectrum.results.comparison import averages
from tokenspectrum.results.measured import BASE, Scores


def singly(
    scores: Scores,
    methods: Sequence[str],
    replicates: Sequence[Replicate],
    benchmarks: Sequence[BenchmarkName],
    reference: str,
) -> Iterator[dict[str, Any]]:
    """The base policy, then the methods; each replicate in order."""
    for method in (BASE, *methods):
        paired = method != reference and reference in methods
        for replicate in replicates:
            seeds = [replicate.seed]
            row: dict[str, Any] = {"method": method, "seed": replicate.seed, "base": replicate.base}
            row |= {b.heading: averages(scores, method, seeds, [b.name])[0] for b in benchmarks}
            (avg,) = averages(scores, method, seeds)
            difference = avg - averages(scores, reference, seeds)[0] if paired else None
            yield row | {"Avg": avg, "against": reference if paired else None, "difference": difference}
