"""A method's Avg against the reference's, over shared seeds.  Knows scores; the arithmetic is `statistics`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenspectrum.results import statistics
from tokenspectrum.results.measured import Scores
from tokenspectrum.results.options import ComparisonParams


@dataclass(frozen=True)
class Comparison:
    """A difference from the reference, before Holm.  All None where it cannot be tested."""

    difference: float | None = None
    test: statistics.PairedTest | None = None
    mdd: float | None = None
    interval: tuple[float, float] | None = None


def compare(scores: Scores, run: str, seeds: Sequence[int], params: ComparisonParams) -> Comparison:
    """Paired comparison over `seeds` of a run with the reference; all blank with fewer than two, or no reference."""
    reference = params.reference
    if run == reference or len(seeds) < 2 or (reference, seeds[0]) not in scores.accuracy:
        return Comparison()
    differences = {
        benchmark: 100
        * np.stack(
            [scores.accuracy[run, s][benchmark] - scores.accuracy[reference, s][benchmark] for s in seeds],
        )
        for benchmark in scores.accuracy[run, seeds[0]]
    }
    a_S, b_S = averages(scores, run, seeds), averages(scores, reference, seeds)
    confidence = 1 - params.alpha
    test = statistics.paired_t(a_S, b_S, confidence)
    mdd = statistics.minimum_detectable_difference(test.sd, test.n, params.power, params.alpha) if test else None
    interval = statistics.bootstrap_interval(differences, params.bootstrap.draws, params.bootstrap.seed, confidence)
    return Comparison(float(np.mean(a_S) - np.mean(b_S)), test, mdd, interval)


def averages(scores: Scores, run: str, seeds: Sequence[int]) -> list[float]:
    """Avg of each seed, percent: the arithmetic mean of the benchmarks' accuracies."""
    return [100 * float(np.mean([x.mean() for x in scores.accuracy[run, s].values()])) for s in seeds]
