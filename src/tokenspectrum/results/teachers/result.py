"""The tokens that teach: shares by SQL, and subsets with what training on them gave."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import BASE
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
FULL = "full"
# Columns of subsets alone.
OF_SUBSETS: Row = dict.fromkeys(("norm_ratio", "cosine", "gain", "trained", "trained_gain", "n"))


def compute(tables: Tables, given: Given) -> Answer:
    """Every base policy's groups, then its subsets."""
    score = given["gradients"].deciles.score
    shares = tables.query("shares.sql", of=["attention", "gradients", "tokens", "vocab"], score=score)
    geometry = tables.ask(
        "SELECT * FROM gradients WHERE subset NOT LIKE 'decile_' ORDER BY seed, subset, denominator", of=["gradients"]
    )
    averages = {(row["run"], row["seed"]): row["average"] for row in tables.query("outcomes.sql", of=read_of(given))}
    rows: list[Row] = []
    for base in dict.fromkeys(row["base"] for row in shares):
        rows += [row | OF_SUBSETS for row in shares if row["base"] == base]
        rows += subsets(base, [row for row in geometry if row["seed"] == base], averages, given)
    return Answer(rows)


def read_of(given: Given) -> list[str]:
    """The sources of scores that there are: none of trained runs without methods."""
    return ["evaluate", "evaluate_base"] if given.methods else ["evaluate_base"]


def subsets(base: int, geometry: list[Row], averages: dict[tuple[str, int], float], given: Given) -> Iterator[Row]:
    """A row a subset, all tokens first: its geometry, what it predicts, and what its method gave on this base."""
    found = {(row["subset"], row["denominator"]): row for row in geometry}
    whole = found[FULL, "all"]
    names = [FULL, *(name for name in given["gradients"].subsets if name != FULL)]
    gains = {name: trained(name, base, averages, given) for name in names}
    for name in names:
        under_all = found[name, "all"]
        own, n = gains[name]
        yield {
            "base": base,
            "kind": "subset",
            "group": name,
            "tokens": percent(under_all["tokens"], whole["tokens"]),
            "update": None if under_all["proj_ratio"] is None else 100 * under_all["proj_ratio"],
            "accuracy": accuracy_share(under_all, whole),
            "norm_ratio": found[name, given["gradients"].denominator(name)]["norm_ratio"],
            "cosine": under_all["cosine"],
            "gain": of_gain(under_all["gain"], whole["gain"]),
            "trained": own,
            "trained_gain": of_gain(own, gains[FULL][0]),
            "n": n,
        }


def accuracy_share(row: Row, whole: Row) -> float | None:
    """<g_S, h> / <g, h> in percent: the gain is a step's of unit length, so it is scaled by |g_S| / |g|."""
    if row["gain"] is None or row["norm_ratio"] is None:
        return None
    return percent(row["gain"] * row["norm_ratio"], whole["gain"])


def trained(
    method: str, base: int, averages: dict[tuple[str, int], float], given: Given
) -> tuple[float | None, int | None]:
    """Avg less the base policy's, mean over the replicates on this base, and their number; None if not trained."""
    if method not in given.methods:
        return None, None
    seeds = [replicate.seed for replicate in given.replicates if replicate.base == base]
    return float(np.mean([averages[method, s] - averages[BASE, s] for s in seeds])), len(seeds)


def of_gain(part: float | None, whole: float | None) -> float | None:
    """Percent of what all tokens gave; None where that is no gain, since a share of a loss would read the wrong way."""
    return None if whole is None or whole <= 0 else percent(part, whole)


def percent(part: float | None, whole: float | None) -> float | None:
    """None where one is missing or the whole is 0."""
    return None if part is None or not whole else 100 * part / whole
