"""The results of gradient tables (geometry, deciles, estimability, isolation) against plain loops over the tables."""

import math

import numpy as np
import pytest
from results_fixtures import BASES, LAYERS, SEEDS
from scipy import stats
from test_results_probe import close, make, parted, probe, table

from tokenspectrum.results.estimability.result import predicted
from tokenspectrum.results.gradient_rows import of_base
from tokenspectrum.results.isolation.moments import design, partial_correlation, ranks, residual_mean, sums
from tokenspectrum.results.isolation.result import of_tokens


def at_start(rows, base) -> list[dict]:
    """Rows of a base policy on its probe."""
    return [row for row in rows if (row["run"], row["base"]) == ("base", str(base))]


def test_geometry_of_a_run_varies_over_its_probe_steps(artifacts, params):
    rows = make(artifacts, params, "geometry")
    for seed, base in zip(SEEDS, BASES, strict=True):
        written = {}
        for row in table(artifacts, "run_gradients", f"explorer20-s{seed}", "gradients"):
            written.setdefault((row["subset"], row["denominator"]), []).append(row["cosine"])
        own = [row for row in rows if (row["run"], row["seed"]) == ("explorer20", str(seed))]
        assert {(row["base"], row["step"]) for row in own} == {(str(base), "1"), (str(base), "3")}
        for row in (row for row in own if row["step"] == "3"):
            cosines = written[row["subset"], row["denominator"]]
            close(row["online_mean"], np.mean(cosines))
            close(row["online_std"], np.std(cosines, ddof=1))
            close(row["online_cv"], np.std(cosines, ddof=1) / np.mean(cosines))
            assert row["probes"] == "2"


def test_geometry_has_every_named_subset(artifacts, params):
    rows = make(artifacts, params, "geometry")
    assert len(rows) == len(BASES) * 3 * 2 * (1 + 2)
    for base in BASES:
        written = {(r["subset"], r["denominator"]): r for r in table(artifacts, "gradients", base, "gradients")}
        own = at_start(rows, base)
        assert [row["subset"] for row in own[::2]] == ["full", "alike", "explorer20"]
        for row in own:
            for name in ("norm_ratio", "cosine", "proj_ratio"):
                close(row[name], written[row["subset"], row["denominator"]][name])
            close(row["online_mean"], float(row["cosine"]))
            assert (row["run"], row["seed"], row["step"], row["probes"], row["online_std"]) == (
                "base",
                "",
                "0",
                "1",
                "",
            )


def test_a_trained_runs_row_names_its_base():
    class Replicate:
        seed, base = 4, 9

    assert of_base({"run": "full", "seed": 4, "step": 2}, [Replicate]) == {
        "run": "full", "base": 9, "seed": 4, "step": 2,
    }  # fmt: skip
    assert of_base({"run": "base", "seed": 9, "step": 0}, [Replicate])["seed"] is None


def test_deciles_and_their_bands(artifacts, params):
    rows = make(artifacts, params, "deciles")
    for base in BASES:
        written = {
            r["subset"]: r for r in table(artifacts, "gradients", base, "gradients") if r["denominator"] == "all"
        }
        own = {row["band"]: row for row in at_start(rows, base)}
        ten = [written[f"decile{d}"]["proj_ratio"] for d in range(10)]
        for d in range(10):
            close(own[f"D{d}"]["proj_ratio"], ten[d])
            assert int(own[f"D{d}"]["rank"]) == 1 + sum(other > ten[d] for other in ten)
            close(own[f"D{d}"]["tokens"], 10)
        for band, part in (("D0-2", ten[:3]), ("D3-6", ten[3:7]), ("D7-9", ten[7:])):
            close(own[band]["proj_ratio"], sum(part))
            close(own[band]["tokens"], 10 * len(part))
        assert sorted(int(own[band]["rank"]) for band in ("D0-2", "D3-6", "D7-9")) == [1, 2, 3]


def test_estimability_sets_the_formulas_beside_the_masks(artifacts, params):
    rows = make(artifacts, params, "estimability")
    for base in BASES:
        written = table(artifacts, "gradients", base, "sparse_gradients")
        signs = [r["error"] for r in written if r["estimator"] == "signs"]
        q, n = np.mean(signs), written[0]["batch"]
        for row in at_start(rows, base):
            p, of = (
                float(row["p"]),
                [r for r in written if (r["estimator"], r["p"]) == (row["estimator"], float(row["p"]))],
            )
            close(row["eq9"], (1 - p) / p * q)
            close(row["centred"], (1 - p) / p * (q - 1 / n))
            close(row["eq10"], 1 / math.sqrt(1 + (1 - p) / p * q))
            errors = [r["error"] for r in of]
            close(row["measured"], np.mean(errors))
            close(row["sd"], np.std(errors, ddof=1))
            close(row["cosine"], np.mean([r["cosine"] for r in of]))
            predicted = float(row["eq9"] if row["estimator"] == "expected" else row["centred"])
            assert float(row["ratio"]) == pytest.approx(np.mean(errors) / predicted, rel=1e-3)
            assert float(row["ci_low"]) < float(row["ratio"]) < float(row["ci_high"])
            assert row["draws"] == "3"
    wide = {k: float(rows[0][k]) for k in ("ci_low", "ci_high")}
    params["analysis"]["estimability"] = {"alpha": 0.4}
    narrow = make(artifacts, params, "estimability")[0]
    assert wide["ci_low"] < float(narrow["ci_low"]) < float(narrow["ci_high"]) < wide["ci_high"]


def tokens_of(artifacts, base, layer):
    """Columns of every token, its key and its score among them, by plain loops."""
    found = {(t["response_id"], t["position"]): t for t in table(artifacts, "gradients", base, "token_gradients")}
    square = np.mean([t["dot"] for t in found.values()])
    rows = []
    for key, token in probe(artifacts, base).items():
        g = found[key]
        rows.append(
            {
                "key": key,
                "response_id": key[0],
                "attention": token["layers"][layer]["entropy_norm"],
                "place": key[1] / token["T"],
                "predictive": token["predictive_entropy"],
                "loss": abs(token["advantage"]),
                "share": g["dot"] / square,
                "cosine": None if g["norm"] is None else g["dot"] / g["norm"] / math.sqrt(square),
            }
        )
    return [row for row in rows if row["loss"] > 0]


def by_precision(x, y, covariates, degree) -> float:
    """Partial correlation from the inverse of the correlation matrix."""
    powers = [z**k for z in covariates for k in range(1, degree + 1)]
    inverse = np.linalg.inv(np.corrcoef([x, y, *powers]))
    return -inverse[0, 1] / math.sqrt(inverse[0, 0] * inverse[1, 1])


@pytest.mark.parametrize(("estimator", "measured"), [("centred", 0.0), ("centred", 1e-9), ("expected", 0.0)])
def test_of_one_token_the_centred_error_has_no_ratio(estimator, measured):
    row = dict.fromkeys(("run", "seed", "step", "cosine"), 0) | {
        "p": 0.5,
        "q": 1.0,
        "q_se": 0.1,
        "batch": 1,
        "draws": 4,
    }
    found = predicted(row | {"estimator": estimator, "measured": measured, "sd": 0.1}, 0.05)
    assert (found["ratio"], found["ci_low"], found["ci_high"]) == (None, None, None)
    assert found["eq9"] == 1.0


@pytest.mark.parametrize("degree", [1, 2])
def test_isolation_is_what_is_left_when_the_rest_is_known(artifacts, params, degree):
    params["analysis"]["isolation"] = {"draws": 100, "degree": degree, "p": 0.3}
    rows = make(artifacts, params, "isolation")
    at = {(r["base"], r["layer"], r["measure"], r["what"]): r for r in rows if not r["subset"]}
    for base in BASES:
        anchors_explorers = {layer: parted(probe(artifacts, base), layer, 0.3) for layer in LAYERS}
        for layer in LAYERS:
            for measure in ("share", "cosine"):
                tokens = [t for t in tokens_of(artifacts, base, layer) if t[measure] is not None]
                x, y, *z = (
                    np.array([t[n] for t in tokens]) for n in ("attention", measure, "place", "predictive", "loss")
                )

                def value(what, base=base, layer=layer, measure=measure):
                    return float(at[str(base), str(layer), measure, what]["value"])

                close(value("Pearson"), stats.pearsonr(x, y)[0])
                close(value("Spearman"), stats.spearmanr(x, y)[0])
                close(value("partial Pearson"), by_precision(x, y, z, degree))
                ranked = [stats.rankdata(v) for v in (x, y, *z)]
                close(value("partial Spearman"), by_precision(ranked[0], ranked[1], ranked[2:], degree))
                basis = np.stack([np.ones_like(x), *(v**k for v in z for k in range(1, degree + 1))], axis=1)
                residual = y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
                means = {}
                for part, keys in anchors_explorers[layer].items():
                    of = np.array([t["key"] in set(keys) for t in tokens])
                    means[part] = (y[of].mean(), residual[of].mean())
                    assert value(f"residual of {part}") == pytest.approx(means[part][1], abs=2e-4)
                close(value("gap"), means["anchors"][0] - means["explorers"][0])
                assert value("residual gap") == pytest.approx(means["anchors"][1] - means["explorers"][1], abs=2e-4)
                row = at[str(base), str(layer), measure, "partial Pearson"]
                assert float(row["ci_low"]) < float(row["value"]) < float(row["ci_high"])
                assert int(row["tokens"]) == len(tokens)
    pairs = [row for row in rows if row["subset"]]
    written = {(b, r["subset"]): r for b in BASES for r in table(artifacts, "gradients", b, "gradients")[::2]}
    for row in pairs:
        own, other = (written[int(row["base"]), name][row["measure"]] for name in ("explorer20", "alike"))
        wanted = {"subset": own, "control": other, "subset less control": own - other}[row["what"]]
        close(row["value"], wanted)
        assert (row["subset"], row["overlap"]) == ("explorer20", "0.2500")
    assert len(pairs) == len(BASES) * 9


def planted(effect: float, seed: int = 0) -> dict[str, np.ndarray]:
    """Tokens whose share follows predictive entropy and |A|, as attention does, and by `effect` attention itself."""
    draw = np.random.default_rng(seed)
    response = np.repeat(np.arange(60), 30)
    place, predictive, loss = draw.random(1800), draw.random(1800), draw.random(60)[response]
    attention = predictive + loss + 0.5 * draw.normal(size=1800)
    share = 2 * predictive + loss**2 + effect * attention + draw.normal(size=1800)
    low, high = np.quantile(attention, [0.2, 0.8])
    named = {"attention": attention, "share": share, "place": place, "predictive": predictive, "loss": loss}
    return named | {"response_id": response, "anchor": attention < low, "explorer": attention > high}


class Own:
    draws, seed, alpha, degree, p = 200, 0, 0.05, 2, 0.2


@pytest.mark.parametrize(("effect", "holds_zero"), [(0.0, True), (0.5, False)])
def test_a_planted_effect_is_found_and_a_mere_covariate_is_not(effect, holds_zero):
    rows = {row["what"]: row for row in of_tokens(planted(effect), "share", Own)}
    assert rows["Pearson"]["ci_low"] > 0.1  # the covariates alone make one
    assert rows["gap"]["ci_high"] < -0.1
    for what in ("partial Pearson", "partial Spearman", "residual gap"):
        assert (rows[what]["ci_low"] <= 0 <= rows[what]["ci_high"]) == holds_zero, what


def test_what_does_not_vary_correlates_with_nothing():
    y = np.random.default_rng(0).normal(size=40)
    starts = np.array([0, 20])
    moment = sums(design(np.ones(40), y, [np.arange(40.0)], 1), starts).sum(0, keepdims=True)
    assert np.isnan(partial_correlation(moment)).all()
    # A constant covariate takes nothing away.
    moment = sums(design(np.arange(40.0), y, [np.ones(40)], 2), starts).sum(0, keepdims=True)
    assert partial_correlation(moment)[0] == pytest.approx(stats.pearsonr(np.arange(40), y)[0])
    assert np.isnan(residual_mean(moment, np.zeros((1, 5)), given=True)).all()
    assert ranks(np.array([3.0, 1.0, 1.0])).tolist() == [3.0, 1.5, 1.5]
