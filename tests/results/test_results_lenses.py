"""The results lenses and forktemp against plain loops over their tables."""

import hashlib
import math
from itertools import combinations
from statistics import mean, stdev
from types import SimpleNamespace

import numpy as np
import pytest
from results_fixtures import BASES, BENCHMARKS
from scipy import stats
from test_results_probe import close, make, probe, size, table

from tokenspectrum.results.discover import results
from tokenspectrum.results.lacking import refused
from tokenspectrum.results.lenses.result import LENSES, compared
from tokenspectrum.results.statistics import holm


def turn(name: str):
    """The largest first; equal ones in the order of a hash of their place."""
    return lambda s: (-s[name], hashlib.md5(f"{s['response_id']}/{s['position']}".encode()).hexdigest())


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_lenses_agree_as_their_ranks_do(artifacts, params, p):
    params["analysis"]["lenses"] = {"layer": 1, "p": p}
    rows = make(artifacts, params, "lenses")
    for base in BASES:
        tokens = probe(artifacts, base)
        seen = {(s["response_id"], s["position"]): s for s in table(artifacts, "signals", base, "signals")}
        for key, signal in seen.items():
            signal["attention"] = tokens[key]["layers"][1]["entropy_norm"]
            signal["predictive"] = tokens[key]["predictive_entropy"]
        own = {(row["one"], row["other"]): row for row in rows if row["base"] == str(base)}
        assert list(own) == list(combinations(LENSES, 2))
        for (one, other), row in own.items():
            correlations, overlaps, chances, count = [], [], [], 0
            for r in sorted({r for r, _ in seen}):
                of = [s for (i, _), s in seen.items() if i == r and s[one] is not None and s[other] is not None]
                if len(of) >= 5:
                    count += 1
                    x, y = [s[one] for s in of], [s[other] for s in of]
                    if len(set(x)) > 1 and len(set(y)) > 1:
                        correlations.append(stats.spearmanr(x, y).statistic)
                    k = size(p, len(of))
                    highest = [{s["position"] for s in sorted(of, key=turn(name))[:k]} for name in (one, other)]
                    overlaps.append(len(highest[0] & highest[1]) / k)
                    chances.append(k / len(of))
            assert int(row["responses"]) == count
            close(row["spearman"], mean(correlations))
            excess = [a - b for a, b in zip(overlaps, chances, strict=True)]
            for name, values in (("overlap", overlaps), ("chance", chances), ("excess", excess)):
                close(row[name], mean(values))
            tested = stats.t.sf(mean(excess) / (stdev(excess) / count**0.5), count - 1)
            assert float(row["p"]) == pytest.approx(tested, rel=1e-2)
        adjusted = holm([float(row["p"]) if row["p"] else None for row in own.values()])
        for row, wanted in zip(own.values(), adjusted, strict=True):
            assert row["p_holm"] == "" if wanted is None else math.isclose(float(row["p_holm"]), wanted, abs_tol=1e-3)


class Own:
    p, alpha = 0.2, 0.05


def signals(same: bool, seed: int = 0) -> list[dict]:
    """Thirty responses of twenty tokens with two signals: one and the same up to noise, or apart."""
    draw = np.random.default_rng(seed)
    rows = []
    for r in range(30):
        x = draw.normal(size=20)
        y = x + 0.3 * draw.normal(size=20) if same else draw.normal(size=20)
        turn = [f"{v:.6f}" for v in draw.random(20)]
        rows += [
            {"response_id": r, "position": t, "turn": turn[t], "a": float(x[t]), "b": float(y[t])} for t in range(20)
        ]
    return rows


def top_alone() -> list[dict]:
    """Two signals that agree on the highest fifth of a response alone."""
    draw, rows = np.random.default_rng(1), signals(False)
    for r in range(30):
        own = sorted((row for row in rows if row["response_id"] == r), key=lambda row: row["a"])
        below = [row["a"] for row in own[:16]]
        for row, b in zip(own, [*draw.permutation(below), *(row["a"] for row in own[16:])], strict=True):
            row["b"] = float(b)
    return rows


def test_a_planted_agreement_is_found_and_chance_is_not():
    found, none = (compared(signals(same), "a", "b", Own) for same in (True, False))
    assert found["chance"] == none["chance"] == pytest.approx(0.2)
    assert found["excess_low"] > 0.3
    assert found["p"] < 1e-6
    assert none["excess_low"] < 0 < none["excess_high"]
    assert none["spearman_low"] < 0 < none["spearman_high"]
    shared = compared(top_alone(), "a", "b", Own)
    assert shared["overlap"] == 1
    assert abs(shared["spearman"]) < 0.7
    other = [row | {"a": -row["a"], "b": -row["b"]} for row in top_alone()]  # now it is the lowest that they share
    assert compared(other, "a", "b", Own)["excess_low"] < 0.1
    ties = [row | {"b": 0.0} for row in signals(True)]
    tied = compared(ties, "a", "b", Own)
    assert tied["spearman"] is None
    assert abs(tied["excess"]) < 0.15


def test_forktemp_is_a_mean_over_problems(artifacts, params):
    rows = make(artifacts, params, "forktemp")
    for base in BASES:
        written = table(artifacts, "hot_forks", base, "hot_forks")

        def accuracy(heated, t, written=written):
            """By problem and benchmark."""
            of = [w for w in written if (w["heated"], w["temperature"]) == (heated, t)]
            return {
                b: [100 * mean(w["correct"] for w in of if w["prompt_id"] == f"{b}-{i}") for i in range(4)]
                for b in BENCHMARKS
            }

        own = {(row["heated"], float(row["temperature"])): row for row in rows if row["base"] == str(base)}
        assert len(own) == 9
        for t in (0.5, 1.0, 2.0):
            for heated in ("forks", "others"):
                row, by = own[heated, t], accuracy(heated, t)
                close(row["accuracy"], mean(mean(v) for v in by.values()))
                assert float(row["ci_low"]) <= float(row["accuracy"]) <= float(row["ci_high"])
                at_one = accuracy(heated, 1.0)
                if t == 1.0:
                    assert row["gain"] == ""
                else:
                    close(row["gain"], mean(mean(by[b]) - mean(at_one[b]) for b in BENCHMARKS))
                tokens = [w["n_tokens"] for w in written if (w["heated"], w["temperature"]) == (heated, t)]
                close(row["length"], mean(tokens))
                assert (row["problems"], row["samples"]) == ("8", "2")
            less = own["forks less others", t]
            close(less["accuracy"], float(own["forks", t]["accuracy"]) - float(own["others", t]["accuracy"]))
            assert less["length"] == ""
    wide = float(rows[0]["ci_high"]) - float(rows[0]["ci_low"])
    params["analysis"]["forktemp"] = {"draws": 100, "alpha": 0.4}
    narrow = make(artifacts, params, "forktemp")[0]
    assert float(narrow["ci_high"]) - float(narrow["ci_low"]) < wide


def test_what_was_not_asked_for_is_said_in_one_line():
    params = SimpleNamespace(preset="tiny", methods=("full",), replicates=(None,), signals=None, hot_forks=None)
    params.gradients, params.tokens = SimpleNamespace(sparse=None), SimpleNamespace(rows=0, layers="all")
    params.policy, own = SimpleNamespace(num_layers=3), SimpleNamespace(layer="mid")
    params.analysis = SimpleNamespace(lenses=own, maps=own)
    names = ("estimability", "forktemp", "lenses", "maps")
    assert refused({name: results()[name] for name in names}, params) == {
        "estimability": "results/estimability: cannot be made of preset tiny: gradients.sparse is null, so no random"
        " masks were measured; give it prompts, p and draws",
        "forktemp": "results/forktemp: cannot be made of preset tiny: hot_forks is null, so nothing was decoded at"
        " other temperatures; give it temperatures",
        "lenses": "results/lenses: cannot be made of preset tiny: signals is null, so no token was looked at; give it"
        " responses, tokens and rollouts",
        "maps": "results/maps: cannot be made of preset tiny: tokens.rows is 0, so no attention rows were kept; set it"
        " to some",
    }
