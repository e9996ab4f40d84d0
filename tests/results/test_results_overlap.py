"""Overlap of high entropy: planted places, plain loops, every option, and what params lack."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from kit.tables import places
from results_fixtures import BASES, LENGTHS, METHODS, SEEDS, save_params

from tokenspectrum.results.discover import results
from tokenspectrum.results.lacking import lacks
from tokenspectrum.results.overlap import OverlapParams
from tokenspectrum.results.overlap.result import contrast
from tokenspectrum.stages import result as stage
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.tokenlog.writer import write_manifest, write_step

CSV, PNG = Path("results/overlap.csv"), Path("results/overlap.png")
N = sum(LENGTHS)


def make(artifacts, params, **own) -> list[dict]:
    params["analysis"]["overlap"] |= own
    save_params(params)
    words = [word for name in ("tokens", "rescore", "rescore_base") for word in (f"--{name}", f"{artifacts}/{name}")]
    stage.main(["tokenspectrum.results.overlap.result", *words, "--csv", str(CSV), "--png", str(PNG)])
    with CSV.open() as f:
        return list(csv.DictReader(f))


def of(rows, **wanted) -> list[dict]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def entropies(folder: Path, table: str, **where) -> np.ndarray:
    rows = read_table(folder, table).to_pylist()
    rows = [row for row in rows if all(row[name] == value for name, value in where.items())]
    return np.array([r["predictive_entropy"] for r in sorted(rows, key=lambda r: (r["response_id"], r["position"]))])


def rescored(folder: Path, run: str, seed: int, step: int, base: int, entropy_N) -> None:
    columns = places(LENGTHS) | {"base": [base] * N, "logprob": -np.ones(N), "predictive_entropy": entropy_N}
    write_step(folder, "rescored", TABLES["rescored"], columns, run=run, seed=seed, step=step)
    write_manifest(folder)


def highest(entropy_N: np.ndarray, p: float, per_response: bool) -> set[int]:
    """Ties go to the earlier token."""
    ends = np.cumsum(LENGTHS)
    spans = [range(end - n, end) for n, end in zip(LENGTHS, ends, strict=True)] if per_response else [range(N)]
    chosen: set[int] = set()
    for span in spans:
        k = max(1, int(np.floor(p * len(span) + 0.5)))
        chosen |= set(sorted(span, key=lambda i: (-entropy_N[i], i))[:k])
    return chosen


def by_chance(p, per_response) -> float:
    """Percent of the chosen places that as many of the same part, chosen blindly, would hit."""
    sizes = LENGTHS if per_response else [N]
    chosen = [max(1, int(np.floor(p * n + 0.5))) for n in sizes]
    return 100 * sum(k * k / n for k, n in zip(chosen, sizes, strict=True)) / sum(chosen)


@pytest.mark.parametrize("options", [{}, {"p": 0.4}, {"scope": "response"}])
def test_overlap_against_plain_loops(artifacts, params, options):
    rows = make(artifacts, params, **options)
    p, per_response = options.get("p", 0.2), options.get("scope") == "response"
    for method in METHODS:
        for step in (2, 4):
            shares = []
            for seed, base in zip(SEEDS, BASES, strict=True):
                before = highest(entropies(artifacts / f"tokens/{base}", "tokens"), p, per_response)
                after = entropies(artifacts / f"rescore/{method}-s{seed}", "rescored", step=step)
                shares.append(100 * len(before & highest(after, p, per_response)) / len(before))
            (row,) = of(rows, what="overlap", method=method, step=str(step))
            assert float(row["mean"]) == pytest.approx(np.mean(shares), abs=1e-3)
            assert float(row["chance"]) == pytest.approx(by_chance(p, per_response), abs=1e-3)
            assert (row["n"], row["bases"], row["tokens"]) == ("2", "2", str(2 * N))
    (among,) = of(rows, what="overlap", method="base")
    assert (among["n"], among["ci_low"]) == ("2", "")


def test_changes_and_the_contrast_against_plain_loops(artifacts, params):
    rows = make(artifacts, params, bins=5)
    parts: dict[int, list[np.ndarray]] = {number: [] for number in range(5)}
    for seed, base in zip(SEEDS, BASES, strict=True):
        before = entropies(artifacts / f"tokens/{base}", "tokens")
        change = entropies(artifacts / f"rescore/full-s{seed}", "rescored", step=4) - before
        order = sorted(range(N), key=lambda i: (before[i], i))
        for place, i in enumerate(order):
            number = place * 5 // N
            if place == 0 or (place - 1) * 5 // N != number:
                parts[number].append([])
            parts[number][-1].append(change[i])
    for number, of_number in parts.items():
        (row,) = of(rows, what="change", method="full", step="4", low_percentile=f"{20 * number:.4f}")
        assert float(row["mean"]) == pytest.approx(np.mean([np.mean(x) for x in of_number]), abs=1e-3)
        assert float(row["absolute"]) == pytest.approx(np.mean([np.mean(np.abs(x)) for x in of_number]), abs=1e-3)
    (row,) = of(rows, what="contrast", method="full", step="4")
    gaps = [np.mean(parts[4][r]) - np.mean(np.concatenate([parts[k][r] for k in range(4)])) for r in (0, 1)]
    assert float(row["mean"]) == pytest.approx(np.mean(gaps), abs=1e-3)
    assert len(of(make(artifacts, params, bins=10), what="change", method="full", step="4")) == 10


@pytest.mark.parametrize("bins", [(4,), (0, 1)])
def test_a_contrast_needs_tokens_in_the_top_fifth_and_below(bins):
    """Of a probe of one or two tokens there is none."""
    given = SimpleNamespace(own=SimpleNamespace(bins=5))
    found = [[{"bin": number, "change": 0.1, "absolute": 0.1, "tokens": 1} for number in bins]]
    assert not list(contrast(given, "full", 4, [], found))


def test_a_policy_that_keeps_its_forks_and_one_that_reverses_them(artifacts, params):
    for seed, base in zip(SEEDS, BASES, strict=True):
        before = np.arange(N) / N
        columns = read_table(artifacts / f"tokens/{base}", "tokens").sort_by(
            [("response_id", "ascending"), ("position", "ascending")]
        )
        values = {name: columns[name].to_pylist() for name in TABLES["tokens"].names}
        values |= {"predictive_entropy": before}
        write_step(artifacts / f"tokens/{base}", "tokens", TABLES["tokens"], values, run="base", seed=base, step=0)
        write_manifest(artifacts / f"tokens/{base}")
        for step, after in ((2, before**2), (4, 1 - before)):
            rescored(artifacts / f"rescore/full-s{seed}", "full", seed, step, base, after)
    rows = make(artifacts, params, methods=["full"])
    kept, reversed_ = (of(rows, what="overlap", method="full", step=s)[0] for s in ("2", "4"))
    assert (float(kept["mean"]), float(reversed_["mean"])) == (100, 0)
    assert float(of(rows, what="contrast", method="full", step="4")[0]["mean"]) < 0
    assert {row["method"] for row in rows} == {"base", "full"}


def test_what_params_lack_is_named():
    params = SimpleNamespace(
        methods=("full",),
        replicates=(None,),
        rescore=SimpleNamespace(methods=()),
        analysis=SimpleNamespace(overlap=OverlapParams(methods=("full", "anchor20"))),
    )
    assert list(lacks(results()["overlap"], params)) == [
        "method full of analysis.overlap.methods is not in rescore.methods; add it there",
        "method anchor20 of analysis.overlap.methods is not in methods; add it",
    ]
