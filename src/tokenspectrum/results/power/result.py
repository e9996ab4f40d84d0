"""Power: parts of the variance, designs, the paper's effects, and intervals over problems."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from tokenspectrum.results.components import Components, components
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import BASE, check_checkpoints
from tokenspectrum.results.power import RESULT
from tokenspectrum.results.published import published
from tokenspectrum.results.statistics import minimum_detectable_difference
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
Cells = dict[str, np.ndarray]  # benchmark -> replicates by problems
EMPTY: Row = dict.fromkeys(column.name for column in RESULT.columns)


def compute(tables: Tables, given: Given) -> Answer:
    """Variance, then designs, then the paper's effects, then intervals; methods in order."""
    asked = given["analysis.table1"]
    rows = tables.query("query.sql", reference=asked.reference, checkpoints=asked.last_checkpoints)
    check_checkpoints([row for row in rows if row["run"] != BASE], tables, asked.last_checkpoints)
    names = [benchmark.name for benchmark in given["prompts.benchmarks"]]
    runs = (BASE, *given.methods)
    by = {run: [row for row in rows if row["run"] == run] for run in runs}
    samples = {row["samples"] for row in rows}
    count = min(samples)
    own = {run: found(of, names, given.seeds, "accuracy", "sample_variance", count) for run, of in by.items()}
    reference = asked.reference
    compared = [run for run in runs if run != reference and reference in given.methods]
    pairs = {run: found(by[run], names, given.seeds, "difference", "difference_variance", count) for run in compared}
    sizes = {name: own[BASE][0][name].shape[1] for name in names}
    out = [row for run, cells in own.items() for row in variances(given, run, None, cells, count)]
    out += [row for run, cells in pairs.items() for row in variances(given, run, reference, cells, count)]
    parts = {run: components(*cells, count) for run, cells in pairs.items()}
    out += [row for run, part in parts.items() for row in designs(given, run, reference, part, sum(sizes.values()))]
    out += papers(tables, given, parts, reference, sum(sizes.values()))
    out += [row for run in runs for row in intervals(given, run, own[run][0])]
    return Answer(out)


def found(
    rows: Sequence[Row], names: Sequence[str], seeds: Sequence[int], mean: str, variance: str, samples: int
) -> tuple[Cells, Cells]:
    """Means and variances of the samples by benchmark, percent and squared percent: replicates by problems."""
    out: tuple[Cells, Cells] = ({}, {})
    for name in names:
        of = [[row for row in rows if (row["benchmark"], row["seed"]) == (name, seed)] for seed in seeds]
        out[0][name] = 100 * np.array([[row[mean] for row in line] for line in of], np.float64)
        # Of one sample there is no variance to tell: it counts to the problem.
        spread = [[row[variance] if samples > 1 else 0.0 for row in line] for line in of]
        out[1][name] = 100**2 * np.array(spread, np.float64)
    return out


def head(given: Given, what: str, run: str, against: str | None, metric: str) -> Row:
    """The first columns."""
    replicates = {"n": len(given.replicates), "bases": len({r.base for r in given.replicates})}
    return EMPTY | {"what": what, "method": run, "against": against, "metric": metric} | replicates


def variances(given: Given, run: str, against: str | None, cells: tuple[Cells, Cells], samples: int) -> Iterator[Row]:
    """The parts of the variance of Avg and of each benchmark."""
    groups = {"Avg": list(cells[0])} | {b.heading: [b.name] for b in given["prompts.benchmarks"]}
    for metric, names in groups.items():
        part = components({n: cells[0][n] for n in names}, {n: cells[1][n] for n in names}, samples)
        values = {"seed": part.seed, "problem": part.problem, "seed x problem": part.interaction, "sample": part.sample}
        total = None if part.seed is None else sum(value or 0.0 for value in values.values())
        for component, value in (values | {"all": total}).items():
            percent = None if value is None or not total else 100 * value / total
            yield head(given, "variance", run, against, metric) | {
                "component": component,
                "problems": sum(cells[0][n].shape[1] for n in names),
                "samples": samples,
                "sd": None if value is None else math.sqrt(value),
                "percent": percent,
            }


def designs(given: Given, run: str, against: str, part: Components, problems: int) -> Iterator[Row]:
    """What each design would detect, and the seeds that each effect needs."""
    own, params = given.own, given["analysis.table1"]
    for factor in own.problems:
        for samples in own.samples:
            variance = part.of_design(factor, samples)
            if variance is None:
                continue
            sd = math.sqrt(variance)
            design = {"problems": factor * problems, "samples": samples, "sd": sd}
            for seeds in own.seeds:
                mdd = detectable(sd, seeds, params)
                yield head(given, "detectable", run, against, "Avg") | design | {"seeds": seeds, "mdd": mdd}
            for effect in own.effects:
                seeds = needed(sd, effect, own.most, params)
                yield head(given, "needed", run, against, "Avg") | design | {"seeds": seeds, "effect": effect}


def detectable(sd: float, seeds: int, params: Any) -> float | None:
    """The smallest difference that the paired test of so many seeds finds; None of one seed."""
    return minimum_detectable_difference(sd, seeds, params.power, params.alpha) if seeds > 1 else None


def needed(sd: float, effect: float, most: int, params: Any) -> int | None:
    """The fewest seeds, at least 2, whose smallest detectable difference is at most `effect`; None beyond `most`."""
    low, high = 2, most
    if minimum_detectable_difference(sd, most, params.power, params.alpha) > effect:
        return None
    while low < high:  # the more seeds, the smaller a difference is found
        middle = (low + high) // 2
        if minimum_detectable_difference(sd, middle, params.power, params.alpha) <= effect:
            high = middle
        else:
            low = middle + 1
    return low


def papers(
    tables: Tables, given: Given, parts: Mapping[str, Components], reference: str, problems: int
) -> Iterator[Row]:
    """Of each method with a published difference of Avg: whether the replicates here could have shown it.

    None beside a benchmark of the user's own, of whose Avg the papers say nothing.
    """
    if any(benchmark.is_own for benchmark in given["prompts.benchmarks"]):
        return
    params = given["analysis.table1"]
    for (method, which), cited in published(tables).items():
        full = cited["published_full_avg"]
        if which != "all" or method not in parts or cited["published_avg"] is None or full is None:
            continue
        part, n = parts[method], len(given.replicates)
        variance = part.of_design(1, part.samples)
        mdd = None if variance is None else detectable(math.sqrt(variance), n, params)
        effect = cited["published_avg"] - full
        design = {"seeds": n, "problems": problems, "samples": part.samples, "effect": effect, "mdd": mdd}
        shown = "no" if mdd is None or abs(effect) < mdd else "yes"
        sd = None if variance is None else math.sqrt(variance)
        yield head(given, "paper", method, reference, "Avg") | design | {"sd": sd, "shown": shown}


def intervals(given: Given, run: str, cells: Cells) -> Iterator[Row]:
    """Intervals of accuracy over the problems of each benchmark, all replicates together."""
    params = given["analysis.table1"]
    confidence = 1 - params.alpha
    for benchmark in given["prompts.benchmarks"]:
        share_P = cells[benchmark.name].mean(axis=0) / 100
        n, total = len(share_P), float(share_P.sum())
        # Sums of eighths are not exact in binary: a count that rounding explains is that count.
        below, above = math.floor(total + 1e-9), math.ceil(total - 1e-9)
        low = stats.binomtest(below, n).proportion_ci(confidence, "exact").low
        high = stats.binomtest(above, n).proportion_ci(confidence, "exact").high
        ends: Row = {"boot_low": None, "boot_high": None}
        if n > 1 and np.ptp(share_P) > 1e-12:
            draws, seed = params.bootstrap.draws, params.bootstrap.seed
            rng = np.random.default_rng(seed)
            # Batches bound the memory: the jackknife of 5,000 problems has 25 million entries.
            options: Row = {"n_resamples": draws, "confidence_level": confidence, "batch": 250, "rng": rng}
            boot = stats.bootstrap((share_P,), np.mean, **options).confidence_interval
            ends = {"boot_low": 100 * float(boot.low), "boot_high": 100 * float(boot.high)}
        yield (
            head(given, "interval", run, None, benchmark.heading)
            | {
                "problems": n,
                "mean": 100 * float(share_P.mean()),
                "low": 100 * float(low),
                "high": 100 * float(high),
            }
            | ends
        )
