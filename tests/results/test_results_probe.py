"""The probe's results (support, scatter, pattern, bases, teachers) against plain loops over its tables."""

import csv
import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from results_fixtures import BASES, LAYERS, WORDS, save_params
from scipy import stats
from statsmodels.api import OLS

from tokenspectrum.results import statistics
from tokenspectrum.results.bases.page import Separation, about, findings, quoted, separates
from tokenspectrum.results.discover import results
from tokenspectrum.results.pattern.result import steps
from tokenspectrum.results.statistics import group_sums, resampled_correlations, t_interval
from tokenspectrum.results.teachers.result import of_gain
from tokenspectrum.stages import result as stage
from tokenspectrum.tokenlog.writer import write_manifest

TYPES = dict(zip(WORDS, ["word"] * 4 + ["digit", "operator", "special", "whitespace"], strict=True))
FIFTHS = ("first fifth", "second fifth", "third fifth", "fourth fifth", "last fifth")


def make(artifacts, params, name) -> list[dict[str, str]]:
    """The rows of a result's CSV."""
    save_params(params)
    result = results()[name]
    folders = [word for source in result.reads for word in (f"--{source}", f"{artifacts}/{source}")]
    files = [word for kind, path in result.outs.items() for word in (f"--{kind}", path)]
    stage.main([result.module, *folders, *files])
    with Path(result.outs["csv"]).open() as f:
        return list(csv.DictReader(f))


def table(artifacts, folder, base, name) -> list[dict]:
    rows = []
    for path in sorted((artifacts / folder / str(base) / name).rglob("*.parquet")):
        rows += pq.ParquetFile(path).read().to_pylist()
    return rows


def probe(artifacts, base) -> dict[tuple[int, int], dict]:
    """Every token by (response, position), with its text, its type and its attention by layer."""
    tokens = {(t["response_id"], t["position"]): dict(t, layers={}) for t in table(artifacts, "tokens", base, "tokens")}
    for row in table(artifacts, "attention", base, "attention"):
        tokens[row["response_id"], row["position"]]["layers"][row["layer"]] = row
    lengths = Counter(r for r, _ in tokens)
    for (r, _), token in tokens.items():
        token["text"] = WORDS[token["token_id"]]
        token["type"], token["T"] = TYPES[token["text"]], lengths[r]
    return tokens


def size(p, n):
    return max(1, math.floor(p * n + 0.5))


def parted(tokens, layer, p, value=lambda row: row["entropy_norm"]) -> dict[str, list]:
    """Keys of the anchors and explorers of each response by one stable sort."""
    found = {"anchors": [], "explorers": []}
    for r in sorted({r for r, _ in tokens}):
        own = [key for key in tokens if key[0] == r and value(tokens[key]["layers"][layer]) is not None]
        if own:
            order = sorted(own, key=lambda key: (value(tokens[key]["layers"][layer]), key[1]))
            k = size(p, len(order))
            found["anchors"] += order[:k]
            found["explorers"] += order[-k:]
    return found


def kinds(tokens):
    """What a token is, by aspect."""
    return {
        "type": lambda key: tokens[key]["type"],
        "position": lambda key: FIFTHS[5 * key[1] // tokens[key]["T"]],
        "token": lambda key: tokens[key]["text"],
    }


def close(text, value):
    assert float(text) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_support_is_a_mean_over_responses(artifacts, params, p):
    params["analysis"]["support"] = {"p": p, "first_n": 6, "alpha": 0.05}
    rows = make(artifacts, params, "support")
    at = {(r["base"], r["layer"], r["score"], r["part"], r["statistic"]): r for r in rows}
    scores = {
        "normalised": lambda row: row["entropy_norm"],
        "raw": lambda row: row["entropy_raw"],
        "first n": lambda row: row["entropy_raw"] if row["position"] < 6 else None,
        "top-k": lambda row: row["entropy_topk"],
    }
    for base in BASES:
        tokens = probe(artifacts, base)
        for layer in LAYERS:
            for score, value in scores.items():
                parts = parted(tokens, layer, p, value)
                for part, keys in parts.items():
                    for statistic, of in (
                        ("80 %", lambda row: row["support_80"]),
                        ("distance", lambda row: row["distance"]),
                        ("non-local mass", lambda row: 1 - row["local_mass"]),
                    ):
                        means = [
                            np.mean([of(tokens[key]["layers"][layer]) for key in keys if key[0] == r])
                            for r in sorted({r for r, _ in keys})
                        ]
                        row = at[str(base), str(layer), score, part, statistic]
                        close(row["mean"], np.mean(means))
                        close(row["sd"], np.std(means, ddof=1))
                        half = stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / math.sqrt(len(means))
                        close(row["ci_high"], np.mean(means) + half)
                        assert (int(row["responses"]), int(row["tokens"])) == (len(means), len(keys))
    one = at[str(BASES[0]), "1", "normalised", "random", "distance"]
    whole = at[str(BASES[0]), "1", "normalised", "all", "distance"]
    assert int(one["tokens"]) < int(whole["tokens"]) == 78
    assert one["mean"] != whole["mean"]


def test_scatter_has_scipys_correlations(artifacts, params):
    rows = make(artifacts, params, "scatter")
    for base in BASES:
        tokens = probe(artifacts, base)
        for layer in LAYERS:
            x = [t["layers"][layer]["entropy_norm"] for t in tokens.values()]
            y = [t["predictive_entropy"] for t in tokens.values()]
            own = {r["what"]: r for r in rows if (r["base"], r["layer"]) == (str(base), str(layer))}
            close(own["Pearson"]["r"], stats.pearsonr(x, y)[0])
            close(own["Spearman"]["r"], stats.spearmanr(x, y)[0])
            assert float(own["Pearson"]["ci_low"]) < float(own["Pearson"]["r"]) < float(own["Pearson"]["ci_high"])
    bins = [row for row in rows if row["what"] == "bin"]
    assert {row["layer"] for row in bins} == {"1"}
    assert sum(int(row["tokens"]) for row in bins) == 78 * len(BASES)
    params["analysis"]["scatter"] = {"layer": 2}  # not measured here: no density, and no figure to draw
    assert not [row for row in make(artifacts, params, "scatter") if row["what"] == "bin"]


def resampled_correlation(x, y, group, draws):
    """Of one pair."""
    return resampled_correlations([group_sums(x, y, np.bincount(group))], draws, 0)[0]


def test_an_interval_that_resamples_groups_is_wider_where_groups_agree(monkeypatch):
    draw = np.random.default_rng(0)
    shared = draw.normal(size=(40, 2))
    group = np.repeat(np.arange(40), 25)
    x, y = shared[group].T
    noise = draw.normal(scale=0.1, size=(2, len(group)))
    wide = resampled_correlation(x + noise[0], y + noise[1], group, 500)
    narrow = resampled_correlation(x + noise[0], y + noise[1], np.arange(len(group)), 500)
    assert wide[2] - wide[1] > 2 * (narrow[2] - narrow[1])
    assert resampled_correlation(np.ones(4), np.arange(4.0), np.arange(4), 100) == (None, None, None)
    assert resampled_correlation(np.arange(4.0), np.arange(4.0), np.zeros(4, int), 100)[1:] == (None, None)
    monkeypatch.setattr(statistics, "RESAMPLED_TOGETHER", 100)  # a few draws at a time
    assert resampled_correlation(x + noise[0], y + noise[1], group, 500) == wide
    assert t_interval(1.0, None, 1) == (None, None)


def test_pattern_counts_what_is_certain_and_lists_the_ends(artifacts, params):
    params["analysis"]["pattern"] = {"certain": 0.3, "quantile": 0.8, "listed": 3, "occurrences": 8, "alpha": 0.1}
    rows = make(artifacts, params, "pattern")
    for base in BASES:
        tokens = list(probe(artifacts, base).values())
        entropy = np.array([t["predictive_entropy"] for t in tokens])
        own = [row for row in rows if row["base"] == str(base)]
        share = next(r for r in own if r["what"] == "near certain")
        close(share["value"], float((entropy < 0.3).mean()))
        response = [t["response_id"] for t in tokens]
        clustered = OLS((entropy < 0.3).astype(float), np.ones(len(entropy))).fit(
            cov_type="cluster", cov_kwds={"groups": response}, use_t=True
        )
        low, high = clustered.conf_int(0.1)[0]
        close(share["ci_low"], float(low))
        close(share["ci_high"], float(high))
        assert int(share["responses"]) == len(set(response))
        close(next(r["value"] for r in own if r["what"] == "quantile"), float(np.quantile(entropy, 0.8)))
        bins = [r for r in own if r["what"] == "bin"]
        assert sum(int(r["n"]) for r in bins) == 78
        close(sum(float(r["value"]) for r in bins), 1.0)
        counts = Counter(t["text"] for t in tokens)
        means = {
            text: np.mean([t["predictive_entropy"] for t in tokens if t["text"] == text])
            for text, n in counts.items()
            if n >= 8
        }
        for what, order in (("lowest", means.get), ("highest", lambda text, means=means: -means[text])):
            wanted = sorted(sorted(means), key=order)[:3]
            assert [r["token"] for r in own if r["what"] == what] == wanted


def test_bases_say_what_partitions_are_made_of(artifacts, params):
    params["analysis"]["bases"] = {"p": 0.2, "frequent": 2}
    rows = make(artifacts, params, "bases")
    for base in BASES:
        tokens = probe(artifacts, base)
        order = sorted(tokens, key=lambda key: (-tokens[key]["predictive_entropy"], key))
        forks = set(order[: size(0.2, len(tokens))])
        parts = {("all", None): list(tokens)}
        for layer in LAYERS:
            parts |= {(part, layer): keys for part, keys in parted(tokens, layer, 0.2).items()}
        for (part, layer), keys in parts.items():
            own = {
                (r["aspect"], r["value"]): r
                for r in rows
                if (r["base"], r["part"], r["layer"]) == (str(base), part, "" if layer is None else str(layer))
            }
            for aspect, of in kinds(tokens).items():
                counts = Counter(map(of, keys))
                shown = {value: row for (kind, value), row in own.items() if kind == aspect}
                assert len(shown) == (min(2, len(counts)) if aspect == "token" else len(counts))
                for value, row in shown.items():
                    close(row["percent"], 100 * counts[value] / len(keys))
                    assert int(row["n"]) == len(keys)
            share = len(forks & set(keys)) / len(keys)
            assert (("fork", "fork") in own) == (share > 0)
            if share:
                close(own["fork", "fork"]["percent"], 100 * share)
    outcome = {(r["base"], r["method"], r["aspect"]): float(r["percent"]) for r in rows if r["what"] == "outcome"}
    for base in map(str, BASES):
        gap = outcome[base, "explorer20", "Avg"] - outcome[base, "full", "Avg"]
        assert outcome[base, "explorer20", "difference"] == pytest.approx(gap, abs=1e-3)


def made(base, part, value, percent):
    return {"base": base, "part": part, "layer": 1, "aspect": "type", "value": value, "percent": percent}


def test_the_page_names_what_separates_bases():
    rows = [made(1, "anchors", "digit", 70.0), made(2, "anchors", "digit", 10.0), made(3, "anchors", "digit", 12.0)]
    rows += [made(base, "explorers", "word", 20.0 + base) for base in (1, 2, 3)]
    text = separates(rows, [1], [2, 3], 1)
    assert "tokens of type digit are 70 % of the anchors of layer 1 where it is above, and 10 to 12 %" in text
    assert "the largest gap of 2 kinds, picked after the fact" in text
    assert Separation("anchors", "type", "digit", [70.0], [10.0, 12.0]).gap == 58
    assert separates([made(b, "anchors", "digit", 5.0) for b in (1, 2)], [1], [2], 1).startswith("No kind of token")
    assert quoted("a|b`\n ") == "a¦b'\\n␣"


def test_the_page_of_bases_counts_signs_as_table_1_does():
    given = {"analysis.table1": SimpleNamespace(labels={})}

    def said(*differences: float) -> list[str]:
        rows = [
            {
                "method": "a",
                "value": "b",
                "aspect": "difference",
                "base": base,
                "percent": d,
                "noise": 0.1,
                "layer": None,
            }
            for base, d in enumerate(differences)
        ]
        return list(findings(rows, given, range(len(differences)), 1))

    unclear = "cannot tell: a difference within 2 standard errors over problems has no sign."
    assert said(1.0, 2.0) == [f"1 of 1 contrasts have the same sign on all 2 base policies. 0 {unclear}"]
    for within in (0.0, 0.19, -0.19):
        assert said(1.0, within) == [f"0 of 1 contrasts have the same sign on all 2 base policies. 1 {unclear}"]
    assert said(1.0, -1.0, 0.1)[0].startswith(
        "**a against b: the sign differs**: above on base 0, below on base 1, within noise on base 2. No kind of token"
    )


@pytest.mark.parametrize(
    ("last", "text"), [(1, "percent, of the final policies;"), (5, "percent, mean over the last 5 checkpoints;")]
)
def test_the_page_of_bases_says_which_checkpoints_are_averaged(last, text):
    class Asked(dict):
        replicates = (None, None)

    given = Asked({"analysis.table1": SimpleNamespace(last_checkpoints=last)})
    assert text in about(given, [1, 2])


def test_a_half_decade_without_tokens_is_drawn_as_zero():
    values, edges = steps([{"low": 1e-6, "value": 0.75}, {"low": 0.0316, "value": 0.25}])
    assert values == [75.0, *[0.0] * 8, 25.0]
    assert len(edges) == 11
    assert edges == pytest.approx([10 ** (k / 2) for k in range(-12, -1)])


def test_teachers_has_no_shares_of_no_update(artifacts, params):
    for path in (artifacts / "gradients").rglob("token_gradients/**/*.parquet"):
        rows = pq.ParquetFile(path).read()
        zero = pa.array([0.0] * len(rows), rows.schema.field("dot").type)
        pq.write_table(rows.set_column(rows.schema.get_field_index("dot"), rows.schema.field("dot"), zero), path)
    for base in BASES:
        write_manifest(artifacts / "gradients" / str(base))
    rows = [row for row in make(artifacts, params, "teachers") if row["kind"] == "type"]
    assert rows
    assert all(row["update"] == "" and row["accuracy"] for row in rows)


def grouped(tokens) -> dict[tuple[str, str], list]:
    """The tokens of every group of the result teachers, in its order."""
    groups = {("type", name): [key for key in tokens if tokens[key]["type"] == name] for name in sorted(TYPES.values())}
    for i, name in enumerate(FIFTHS):
        groups["position", name] = [key for key in tokens if 5 * key[1] // tokens[key]["T"] == i]
    for d in range(10):
        groups["attention decile", str(d)] = []
        for r in {r for r, _ in tokens}:
            of = [key for key in tokens if key[0] == r]
            order = sorted(of, key=lambda key: (tokens[key]["layers"][1]["entropy_norm"], key[1]))
            groups["attention decile", str(d)] += order[d * len(order) // 10 : (d + 1) * len(order) // 10]
    order = sorted(tokens, key=lambda key: (tokens[key]["predictive_entropy"], *key))
    for d in range(10):
        groups["predictive decile", str(d)] = order[d * len(order) // 10 : (d + 1) * len(order) // 10]
    return {group: keys for group, keys in groups.items() if keys}


def test_teachers_shares_sum_to_a_hundred_and_are_the_tokens_own(artifacts, params):
    rows = make(artifacts, params, "teachers")
    for base in BASES:
        tokens = probe(artifacts, base)
        found = {(t["response_id"], t["position"]): t for t in table(artifacts, "gradients", base, "token_gradients")}
        total, accuracy = (sum(t[name] for t in found.values()) for name in ("dot", "accuracy_dot"))
        own = [row for row in rows if row["base"] == str(base) and row["kind"] != "subset"]
        for kind in ("type", "position", "attention decile", "predictive decile"):
            groups = [row for row in own if row["kind"] == kind]
            for column in ("tokens", "update", "accuracy"):
                assert sum(float(row[column]) for row in groups) == pytest.approx(100, abs=1e-2)
        groups = grouped(tokens)
        assert [(row["kind"], row["group"]) for row in own] == list(groups)
        for row, keys in zip(own, groups.values(), strict=True):
            close(row["tokens"], 100 * len(keys) / 78)
            close(row["update"], 100 * sum(found[key]["dot"] for key in keys) / total)
            close(row["accuracy"], 100 * sum(found[key]["accuracy_dot"] for key in keys) / accuracy)


def test_teachers_set_what_is_predicted_beside_what_training_gave(artifacts, params):
    rows = make(artifacts, params, "teachers")
    outcome = {(r["base"], r["method"], r["aspect"]): r for r in make(artifacts, params, "bases")}
    for base in map(str, BASES):
        subsets = {row["group"]: row for row in rows if (row["base"], row["kind"]) == (base, "subset")}
        assert list(subsets) == ["full", "explorer20"]
        geometry = {(g["subset"], g["denominator"]): g for g in table(artifacts, "gradients", base, "gradients")}
        whole, part = geometry["full", "all"], geometry["explorer20", "selected"]
        close(subsets["explorer20"]["gain"], 100 * geometry["explorer20", "all"]["gain"] / whole["gain"])
        close(subsets["explorer20"]["norm_ratio"], part["norm_ratio"])
        gave = {m: float(outcome[base, m, "Avg"]["percent"]) for m in ("base", "full", "explorer20")}
        close(subsets["explorer20"]["trained"], gave["explorer20"] - gave["base"])
        wanted = 100 * (gave["explorer20"] - gave["base"]) / (gave["full"] - gave["base"])
        assert float(subsets["explorer20"]["trained_gain"]) == pytest.approx(wanted, rel=1e-3)
        assert subsets["explorer20"]["n"] == "1"
    # A control is trained under the denominator of the rule that it matches.
    of = params["gradients"]["subsets"]["explorer20"]
    params["gradients"]["subsets"]["explorer20"] = {"kind": "type-matched", "of": dict(of)}
    assert [r["norm_ratio"] for r in make(artifacts, params, "teachers")] == [r["norm_ratio"] for r in rows]
    of["denominator"] = "all"
    for rule in (of, {"kind": "type-matched", "of": of}):
        params["gradients"]["subsets"]["explorer20"] = rule
        changed = make(artifacts, params, "teachers")
        assert [r["norm_ratio"] for r in changed] != [r["norm_ratio"] for r in rows]


def test_differences_have_an_interval_on_each_benchmark(artifacts, params):
    rows = make(artifacts, params, "differences")
    assert [(r["method"], r["against"], r["benchmark"]) for r in rows] == [
        ("explorer20", "full", "easy (stand-in)"),
        ("explorer20", "full", "hard (stand-in)"),
    ]
    for row, benchmark, problems in zip(rows, ("easy", "hard"), (6, 5), strict=True):
        means = {}
        for method in ("full", "explorer20"):
            for seed in (1, 2):
                (path,) = (artifacts / f"evaluate/{method}-s{seed}").rglob(f"{benchmark}.parquet")
                means[method, seed] = 100 * np.mean([r["correct"] for r in pq.ParquetFile(path).read().to_pylist()])
        d = [means["explorer20", seed] - means["full", seed] for seed in (1, 2)]
        close(row["difference"], np.mean(d))
        if np.ptp(d):
            close(row["sd"], np.std(d, ddof=1))
            interval = stats.ttest_1samp(d, 0).confidence_interval()
            assert float(row["ci_low"]) == pytest.approx(interval.low, abs=1e-3)
        else:  # without any spread nothing is tested
            assert row["sd"] == row["ci_low"] == row["p"] == ""
        assert (row["problems"], row["n"], row["bases"], row["p_flip"]) == (str(problems), "2", "2", "0.5000")
        assert row["bases_above"] == str(sum(x > 0 for x in d))


def test_a_share_of_a_loss_is_left_empty():
    assert of_gain(2.0, 4.0) == 50
    assert of_gain(-1.0, 4.0) == -25
    assert of_gain(2.0, -4.0) is of_gain(2.0, 0.0) is of_gain(None, 4.0) is of_gain(1.0, None) is None
