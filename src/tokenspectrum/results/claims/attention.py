"""Claims on attention entropy itself, from the probe: what it is not, and how widely tokens look."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from tokenspectrum.results.claims.facts import FULL, Facts, Row
from tokenspectrum.results.claims.judge import Finding, every, mean_of, opposite, some, stated, welch

UNRELATED = 0.3
VARIANTS = ("entropy_norm", "entropy_raw", "entropy_topk", "entropy_fixed")
MASSES = ("50 %", "80 %", "90 %", "95 %")
TOPK = "top-k"
SCORES = ("normalised", "raw", "first n", TOPK)


def entropies_are_unrelated(facts: Facts) -> Finding:
    """Pearson's and Spearman's correlation are both nearer to 0 than UNRELATED, on every base policy."""
    parts = {}
    for base, what in product(facts.bases("scatter"), ("Pearson", "Spearman")):
        for row in facts.rows("scatter", base=base, what=what, layer=facts.layer):
            if row["r"] is None:
                parts[f"{what}, base {base}"] = Finding(note="an entropy is constant, so there is no correlation")
                continue
            size = (row["r"], row["ci_low"], row["ci_high"], row["responses"], "responses")
            under, over = stated(*size, UNRELATED), stated(*size, -UNRELATED)
            parts[f"{what}, base {base}"] = every(
                {f"(must be below {UNRELATED})": opposite(under), f"(must be above -{UNRELATED})": over}
            )
    return _named(parts, facts, "scatter")


def anchors_need_fewer(facts: Facts) -> Finding:
    """Anchors need fewer positions than explorers at every mass, under each score, on every base policy."""
    gaps = gaps_of(facts, MASSES)
    if isinstance(gaps, Finding):
        return gaps
    parts = {f"{mass} by {score}, base {base}": gap for (base, score, mass), gap in gaps.items()}
    return _named(parts, facts, "support")


def span_is_not_the_axis(facts: Facts) -> Finding:
    """Explorers less anchors in distance is above 0 by one score and below 0 by another, on every base policy."""
    gaps = gaps_of(facts, ("distance",))
    if isinstance(gaps, Finding):
        return gaps
    parts = {}
    for base in facts.bases("support"):
        of = {score: gaps[base, score, "distance"] for score in SCORES}
        ends = {"above": some(of), "below": some({name: opposite(gap) for name, gap in of.items()})}
        parts[f"base {base}"] = every(ends)
    return _named(parts, facts, "support")


def separation_survives(facts: Facts) -> Finding:
    """Under each score the gap at the last step of full is above half of that at the first."""
    parts = {}
    for score in VARIANTS:
        rows = sorted(facts.rows("dynamics", method=FULL, group="kept", score=score), key=lambda row: row["step"])
        if len(rows) < 2 or any(row["sd"] is None for row in rows):
            parts[score] = Finding(n=len(rows) and rows[0]["n"], note="one step or one replicate has no spread")
            continue
        end = rows[-1]  # of the same replicates as the first step, so each is held against itself
        parts[score] = mean_of(end["mean"], end["sd"], end["n"], "replicates")
    return replace(every(parts), bases=max((row["bases"] for row in facts.tables["dynamics"]), default=0))


def gaps_of(facts: Facts, statistics: Sequence[str]) -> dict[tuple[int, str, str], Finding] | Finding:
    """(base policy, score, statistic) -> gap; a finding that decides nothing where one of them was not measured."""
    keys = list(product(facts.bases("support"), SCORES, statistics))
    found = {key: gap for key in keys if (gap := gap_of(facts, *key))}
    if not found:
        return _named({}, facts, "support")
    if lacks := list(dict.fromkeys(score for base, score, of in keys if (base, score, of) not in found)):
        hint = "; set tokens.top_k" if lacks == [TOPK] else ""
        return Finding(note=f"results/support.csv has no rows by {' and '.join(lacks)} of layer {facts.layer}{hint}")
    return found


def gap_of(facts: Facts, base: int, score: str, statistic: str) -> Finding | None:
    """Explorers less anchors in a statistic of support; None where the score was not measured."""
    rows: dict[str, Row] = {
        row["part"]: row
        for row in facts.rows("support", base=base, layer=facts.layer, score=score, statistic=statistic)
    }
    if not {"anchors", "explorers"} <= rows.keys():
        return None
    ends = [(row["mean"], row["sd"], row["responses"]) for row in (rows["explorers"], rows["anchors"])]
    if any(value is None for end in ends for value in end):
        return Finding(note="one response has no spread", of="responses")
    return welch(ends[0], ends[1], "responses")


def _named(parts: dict[str, Finding], facts: Facts, table: str) -> Finding:
    if not parts:
        return Finding(note=f"results/{table}.csv has no row of layer {facts.layer}")
    return replace(every(parts), bases=len(facts.bases(table)))


DECIDE = {
    "A6": entropies_are_unrelated,
    "A7": anchors_need_fewer,
    "A8": span_is_not_the_axis,
    "A9": separation_survives,
}
