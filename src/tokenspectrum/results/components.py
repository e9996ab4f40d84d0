"""Parts of the variance of an average over benchmarks: seed, problem, seed by problem, and sample.

Knows arrays of accuracies or of their paired differences; nothing of runs or files.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Components:
    """What each part adds to the variance of one replicate's average, in squared units.  None: it cannot be told.

    `sample` is of the samples that were drawn, `samples` a problem.
    """

    seed: float | None
    problem: float | None
    interaction: float | None
    sample: float
    samples: int

    def of_design(self, problems: float, samples: int) -> float | None:
        """Variance of one replicate's paired difference with `problems` times the problems and `samples` a problem."""
        if self.seed is None or self.interaction is None:
            return None
        return self.seed + (self.interaction + self.sample * self.samples / samples) / problems


def components(mean_RP: Mapping[str, np.ndarray], variance_RP: Mapping[str, np.ndarray], samples: int) -> Components:
    """Two-way analysis of variance with samples in each cell, of the mean over benchmarks.

    mean_RP[benchmark]      replicates by problems: mean over the samples of a cell
    variance_RP[benchmark]  variance of these samples, divided by samples - 1

    Of one benchmark, MS_P = R var(problem means), MS_RP = residual of the cell means; sample = mean variance / K,
    interaction = max(0, MS_RP - sample), problem = max(0, (MS_P - MS_RP) / R), each over its P problems.  The average
    of B benchmarks adds them up over B^2.  seed = max(0, variance of the replicates' averages - interaction - sample),
    which has what a replicate moves on all benchmarks alike.
    """
    n_benchmarks = len(mean_RP)
    replicates = next(iter(mean_RP.values())).shape[0]
    sample = interaction = problem = 0.0
    for name, x_RP in mean_RP.items():
        n_problems = x_RP.shape[1]
        weight = 1 / (n_benchmarks**2 * n_problems)
        noise = float(variance_RP[name].mean()) / samples
        sample += weight * noise
        if replicates > 1 and n_problems > 1:
            x_P = x_RP.mean(axis=0)
            residual_RP = x_RP - x_RP.mean(axis=1, keepdims=True) - x_P + x_RP.mean()
            ms_residual = float((residual_RP**2).sum()) / ((replicates - 1) * (n_problems - 1))
            interaction += weight * max(0.0, ms_residual - noise)
            problem += weight * max(0.0, float(x_P.var(ddof=1)) - ms_residual / replicates)
    if replicates < 2:
        return Components(None, None, None, sample, samples)
    average_R = np.mean([x_RP.mean(axis=1) for x_RP in mean_RP.values()], axis=0)
    seed = max(0.0, float(average_R.var(ddof=1)) - interaction - sample)
    return Components(seed, problem, interaction, sample, samples)
