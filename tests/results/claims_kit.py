"""Made-up tables that claims are decided from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tokenspectrum.results.claims.facts import Facts
from tokenspectrum.results.claims.result import DECIDE
from tokenspectrum.results.claims.verdict import verdict

EASY, HARD = "easy", "hard"
BASE_POLICY, FULL = (40.0, 20.0), (80.0, 50.0)
Means = Mapping[str, tuple[float, float]]


def runs(
    means: Means, n: int = 8, noise: float = 0.2, collapsed: Mapping[str, int] | None = None, seed: int = 0
) -> Facts:
    """`accuracy` and `ends` of n replicates on n base policies: each method's accuracy on both benchmarks, and noise.

    What a replicate's methods share is large, and falls out of differences.
    """
    rng = np.random.default_rng(seed)
    every = {"base": BASE_POLICY, "full": FULL} | dict(means)
    accuracy, ends = [], []
    for replicate in range(1, n + 1):
        shared = rng.normal(0, 3)
        for method, of in every.items():
            head = {"method": method, "seed": replicate, "base": replicate}
            for benchmark, mean in zip((EASY, HARD), of, strict=True):
                accuracy.append(head | {"benchmark": benchmark, "accuracy": mean + shared + rng.normal(0, noise)})
            if method != "base":
                ends.append(head | {"collapsed": replicate <= (collapsed or {}).get(method, 0)})
    return Facts({"accuracy": accuracy, "ends": ends})


def explorers(difference: float, collapsed: int, n: int = 8, noise: float = 0.2, seed: int = 0) -> Facts:
    """`explorers`: n runs of which the first so many collapsed, and the survivors' difference on the hardest benchmark.

    The collapsed ones are far below.
    """
    rng, rows = np.random.default_rng(seed), []
    for replicate in range(1, n + 1):
        dead = replicate <= collapsed
        of = -50.0 if dead else difference + float(rng.normal(0, noise))
        head = {"what": "run", "method": "explorer20", "seed": replicate, "base": replicate, "collapsed": int(dead)}
        rows += [head | {"metric": metric, "difference": of} for metric in ("Avg", "hardest")]
    return Facts({"explorers": rows})


def shuffled(facts: Facts, rng: np.random.Generator) -> Facts:
    """The methods' labels dealt out anew within each replicate; the base policy keeps its own."""
    accuracy = []
    seeds = dict.fromkeys(row["seed"] for row in facts.tables["accuracy"])
    for seed in seeds:
        rows = facts.rows("accuracy", seed=seed)
        names = [name for name in dict.fromkeys(row["method"] for row in rows) if name != "base"]
        new = dict(zip(names, rng.permutation(names), strict=True)) | {"base": "base"}
        accuracy += [dict(row) | {"method": new[row["method"]]} for row in rows]
    return Facts(dict(facts.tables) | {"accuracy": accuracy})


def said(claim: str, facts: Facts, alpha: float = 0.05) -> str:
    """The verdict on one claim, alone in its family."""
    found = DECIDE[claim](facts)
    return verdict(found.p_for, found.p_against, alpha)


def support(gaps: Mapping[str, float], sd: float = 0.2, n: int = 40, bases: Sequence[int] = (1, 2)) -> Facts:
    """`support` of layer 0: explorers less anchors is gaps[score] in every statistic but the distance.

    The distance's gap is gaps["distance by <score>"], 0 if it is not given.
    """
    rows: list[dict[str, Any]] = []
    for base in bases:
        for score in ("normalised", "raw", "first n", "top-k"):
            for statistic in ("50 %", "80 %", "90 %", "95 %", "distance"):
                gap = gaps.get(f"distance by {score}", 0.0) if statistic == "distance" else gaps[score]
                for part, mean in (("anchors", 5.0), ("explorers", 5.0 + gap)):
                    head = {"base": base, "layer": 0, "score": score, "part": part, "statistic": statistic}
                    rows.append(head | {"mean": mean, "sd": sd, "responses": n})
    return Facts({"support": rows})
