"""Policies of several presets: this one's scores and the CSV files of others, each tested over its own replicates."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tokenspectrum.errors import UserError
from tokenspectrum.results.comparison import sign_of
from tokenspectrum.results.csvfile import read_csv
from tokenspectrum.results.declare import NAMED
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import BASE, read_scores
from tokenspectrum.results.seed_columns import SEED_COLUMNS
from tokenspectrum.results.singly import singly, vocabulary, weights_of
from tokenspectrum.results.statistics import holm, minimum_detectable_difference, paired_t, sign_flip, summary
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]


def policies(tables: Tables, given: Given, metrics: Sequence[str]) -> Iterator[Row]:
    """By method and metric: this preset, then the files by name; Holm over the policies."""
    params, benchmarks = given["analysis.table1"], given["prompts.benchmarks"]
    scores = read_scores(tables, [b.name for b in benchmarks], params.last_checkpoints)
    reference, *methods = given.own.methods
    size = weights_of(given["policy"], vocabulary(tables))
    rows = singly(scores, given.methods, given.replicates, benchmarks, reference, size)
    own = [row | given.named for row in rows]
    found = {given.named["preset"]: own}
    assert tables.folder is not None
    for path in sorted(tables.folder.glob("*.csv")):
        other = read_policy(path, given.own.methods)
        if (preset := other[0]["preset"]) in found:
            raise UserError(f"{path}: is of preset {preset}, of which there are numbers already; remove the file")
        found[preset] = other
    for method in methods:
        for metric in metrics:
            yield from with_holm([of_policy(of, metric, method, reference, params) for of in found.values()])


def read_policy(path: Path, methods: Sequence[str]) -> list[Row]:
    """The rows of another preset's results/seeds.csv; a UserError of one line if it is none, or lacks a method."""
    try:
        rows = read_csv((*SEED_COLUMNS, *NAMED), path)
    except (ValueError, OSError) as e:
        raise UserError(f"{path}: no results/seeds.csv ({e}); copy that of its preset again") from None
    for method in (BASE, *methods):
        if not any(row["method"] == method for row in rows):
            raise UserError(f"{path}: no rows of method {method}; run its preset with it, and copy the file again")
    return rows


def of_policy(rows: Sequence[Row], metric: str, method: str, reference: str, params: Any) -> Row:
    """One row of the CSV, before Holm."""
    plain = {column.name for column in (*SEED_COLUMNS, *NAMED)}
    benchmarks = [name for name in rows[0] if name not in plain]
    values = {run: {row["seed"]: row for row in rows if row["method"] == run} for run in (BASE, method, reference)}
    accuracy = {name: float(np.mean([row[name] for row in values[BASE].values()])) for name in benchmarks}
    column = "Avg" if metric == "Avg" else min(benchmarks, key=accuracy.__getitem__)
    seeds = [seed for seed in values[method] if seed in values[reference]]
    a_R, b_R = ([values[run][seed][column] for seed in seeds] for run in (method, reference))
    d_R = [a - b for a, b in zip(a_R, b_R, strict=True)]
    bases = [values[method][seed]["base"] for seed in seeds]
    by_base = {b: float(np.mean([d for d, of in zip(d_R, bases, strict=True) if of == b])) for b in bases}
    test = paired_t(a_R, b_R, 1 - params.alpha)
    of = summary(a_R)
    return {
        "policy": rows[0]["preset"],
        "base_policy": rows[0]["policy"],
        "weights": rows[0]["weights"],
        "metric": metric,
        "of": None if metric == "Avg" else column,
        "method": method,
        "n": of.n,
        "bases": len(by_base),
        "base_mean": float(np.mean([values[BASE][seed][column] for seed in seeds if seed in values[BASE]])),
        "mean": of.mean,
        "sd": of.sd,
        "against": reference,
        "against_mean": float(np.mean(b_R)),
        "difference": float(np.mean(d_R)),
        "difference_sd": summary(d_R).sd,
        "ci_low": test and test.low,
        "ci_high": test and test.high,
        "p": test and test.p,
        "p_holm": None,
        "p_flip": sign_flip(d_R),
        "mdd": minimum_detectable_difference(test.sd, test.n, params.power, params.alpha) if test else None,
        "bases_above": sum(sign_of(d) > 0 for d in by_base.values()),
    }


def with_holm(rows: Sequence[Row]) -> Iterator[Row]:
    """The rows of one metric and method, with the adjusted p-values."""
    for row, p_holm in zip(rows, holm([row["p"] for row in rows]), strict=True):
        yield row | {"p_holm": p_holm}
