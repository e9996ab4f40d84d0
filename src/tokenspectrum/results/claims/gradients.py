"""Claims on gradients of subsets of the tokens: where they point, how long they are, and what predicts their error.

Values are of the training run `full` at its probe steps, one a replicate.  Where no step of a run was probed, they
are of the base policies' probes, one a base policy; what needs several steps is then undecided.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from tokenspectrum.results.claims.facts import BASE, FULL, Facts, Row
from tokenspectrum.results.claims.judge import Finding, above, below, every, within

RANDOM, ANCHORS, EXPLORERS = "random20", "anchor20", "explorer20"
BANDS = ("D0-2", "D3-6", "D7-9")
MOST = 0.6
TOLERANCE = 0.1
STEPS = 3  # a slope and a spread over steps take so many


def traces(facts: Facts, table: str) -> dict[int, list[Row]]:
    """The rows of each replicate of `full`, by its seed; without them those of each base policy, by its number."""
    own = facts.rows(table, run=FULL)
    rows, key = (own, "seed") if own else (facts.rows(table, run=BASE), "base")
    return {name: [row for row in rows if row[key] == name] for name in dict.fromkeys(row[key] for row in rows)}


def steps_of(rows: Sequence[Row]) -> int:
    """How many steps the rows are of."""
    return len({row["step"] for row in rows})


def column(rows: Sequence[Row], subset: str, name: str, denominator: str = "all") -> list[float]:
    """A column of one subset over steps, without what is missing."""
    of = [row for row in rows if (row["subset"], row["denominator"]) == (subset, denominator)]
    return [row[name] for row in sorted(of, key=lambda row: row["step"]) if row[name] is not None]


def compared(
    facts: Facts, one: str, other: str, name: str, denominator: str, at: Callable[[list[float]], float], steps: int = 1
) -> list[float]:
    """Of each replicate: a column of one subset less that of another, at what `at` makes of their steps.

    A replicate that has either subset's cosine at fewer than `steps` is left out.
    """
    found = []
    for rows in traces(facts, "geometry").values():
        a, b = (column(rows, subset, name, denominator) for subset in (one, other))
        known = min(len(column(rows, subset, "cosine", denominator)) for subset in (one, other))
        if a and b and known >= steps:
            found.append(at(a) - at(b))
    return found


def mean(values: list[float]) -> float:
    return float(np.mean(values))


def last(values: list[float]) -> float:
    return values[-1]


def norm_without_direction(facts: Facts) -> Finding:
    """Random tokens are the best aligned; anchors lose alignment over steps; explorers are long and badly aligned."""
    long = compared(facts, EXPLORERS, ANCHORS, "norm_ratio", "selected", mean)
    parts = {
        "cosine, random less anchors": above(compared(facts, RANDOM, ANCHORS, "cosine", "all", mean)),
        "cosine, random less explorers": above(compared(facts, RANDOM, EXPLORERS, "cosine", "all", mean)),
        "norm ratio, explorers less anchors": above(long),
        "cosine, explorers less anchors": below(compared(facts, EXPLORERS, ANCHORS, "cosine", "all", mean)),
        "slope of the anchors' cosine": below(slopes(facts)),
    }
    return _of(facts, "geometry", every(parts))


def slopes(facts: Facts) -> list[float]:
    """Of each replicate with enough probe steps: the slope of the anchors' cosine a step."""
    found = []
    for rows in traces(facts, "geometry").values():
        of = [r for r in rows if (r["subset"], r["denominator"]) == (ANCHORS, "all") and r["cosine"] is not None]
        if len(of) >= STEPS:
            found.append(float(stats.linregress([r["step"] for r in of], [r["cosine"] for r in of]).slope))
    return found


def update_is_spread(facts: Facts) -> Finding:
    """The band that always has most never reaches MOST at every step, and which band has most changes."""
    lowest, changes = [], []
    for rows in traces(facts, "deciles").values():
        by = {band: [r for r in rows if r["band"] == band and r["proj_ratio"] is not None] for band in BANDS}
        if any(len(of) < STEPS for of in by.values()):
            continue
        lowest.append(max(min(row["proj_ratio"] for row in of) for of in by.values()))
        orders = {tuple(row["rank"] for row in sorted(of, key=lambda row: row["step"])) for of in by.values()}
        changes.append(float(any(len(set(ranks)) > 1 for ranks in orders)))
    moves = Finding(mean(changes), n=len(changes), p_for=0.0, p_against=1.0) if changes else Finding(note="no steps")
    if changes and min(changes) < 1:
        # A count and no test: it must move in every replicate, and one in which it never does speaks against it.
        moves = replace(moves, p_for=1.0, p_against=0.0)
    parts = {
        f"least share of the leading band (must be below {MOST:g})": below(lowest, MOST),
        "replicates in which bands change rank": moves,
    }
    return _of(facts, "deciles", every(parts))


def anchors_vary_most(facts: Facts) -> Finding:
    """At the last probe step the online deviation of the cosine is largest for anchors, smallest for random tokens."""
    parts = {
        "anchors less explorers": above(_deviation(facts, ANCHORS, EXPLORERS)),
        "explorers less random": above(_deviation(facts, EXPLORERS, RANDOM)),
    }
    return _of(facts, "geometry", every(parts))


def _deviation(facts: Facts, one: str, other: str) -> list[float]:
    return compared(facts, one, other, "online_std", "all", last, STEPS)


def error_is_predicted(facts: Facts) -> Finding:
    """Measured over predicted error is 1 within TOLERANCE, by both estimators; mean over probe steps and fractions."""
    parts = {}
    for estimator in ("expected", "selected"):
        ratios = []
        for rows in traces(facts, "estimability").values():
            known = [row["ratio"] for row in rows if row["estimator"] == estimator and row["ratio"] is not None]
            if known:
                ratios.append(mean(known))
        parts[f"{estimator}: ratio less 1"] = within([ratio - 1 for ratio in ratios], TOLERANCE)
    return _over(facts, "estimability", every(parts))


def _over(facts: Facts, table: str, found: Finding) -> Finding:
    """The finding with what its values are over."""
    own = bool(facts.rows(table, run=FULL))
    return replace(found, of="replicates" if own else "base policies", bases=len(facts.bases(table)))


def _of(facts: Facts, table: str, found: Finding) -> Finding:
    """The same, and why nothing is known where too few steps were probed."""
    few = any(steps_of(rows) < STEPS for rows in traces(facts, table).values())
    note = f"fewer than {STEPS} probe steps of {FULL}" if few else found.note
    return replace(_over(facts, table, found), note=note)


DECIDE = {
    "A10": norm_without_direction,
    "A11": update_is_spread,
    "A12": anchors_vary_most,
    "A18": error_is_predicted,
}
