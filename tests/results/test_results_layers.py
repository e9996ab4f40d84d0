"""Agreement of layers: every number against plain loops and scipy, on ragged responses with ties."""

import csv
import io
import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread
from results_fixtures import chunks, save_params
from scipy.stats import spearmanr

from tokenspectrum.errors import UserError
from tokenspectrum.results.canvas import written
from tokenspectrum.results.given import Given
from tokenspectrum.results.layers import RESULT, LayersParams
from tokenspectrum.results.layers.result import compute, ends_of, heat_maps, matrix, specs
from tokenspectrum.results.layers.words import AgreementSpec
from tokenspectrum.results.sources import Wanted
from tokenspectrum.results.tables import Tables
from tokenspectrum.stages import result
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.writer import write_manifest, write_step

LENGTHS = (1, 2, 7, 12, 5, 31, 3, 18, 1)
N = sum(LENGTHS)
BASES = (3, 7)
NAMED = {"preset": "small", "policy": {"kind": "tiny"}}
ATTENTION, TOKENS, GRADIENTS = Path("attention"), Path("tokens"), Path("gradients")
GEOMETRY = ("norm_ratio", "cosine", "proj_ratio")
CSV, PNG = Path("results/layers.csv"), Path("results/layers.png")


def write_probe(
    score: dict[int, np.ndarray],
    predictive_N: np.ndarray,
    raw: dict[int, np.ndarray] | None = None,
    bases: tuple[int, ...] = BASES,
):
    """The probe's two folders of each base policy; rows of attention come shuffled, as no order is promised.

    All bases have the same tokens at the same places, and the scores of one are the next one's shifted by a token.
    """
    for i, base in enumerate(bases):
        raw = raw or score
        moved = [{layer: np.roll(values, i) for layer, values in of.items()} for of in (score, raw)]
        write_one(base, moved[0], np.roll(predictive_N, i), moved[1])


def write_one(base: int, score: dict[int, np.ndarray], predictive_N: np.ndarray, raw: dict[int, np.ndarray]):
    attention, tokens = ATTENTION / str(base), TOKENS / str(base)
    keys = {"run": "base", "seed": base, "step": 0}
    rng = np.random.default_rng(5)
    response_N = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    position_N = np.concatenate([np.arange(t) for t in LENGTHS])
    shuffled = rng.permutation(N * len(score))
    columns = {
        "response_id": np.tile(response_N, len(score)),
        "position": np.tile(position_N, len(score)),
        "layer": np.repeat(list(score), N),
        "visible": np.ones(N * len(score)),
        "entropy_norm": np.concatenate(list(score.values())),
        "entropy_raw": np.concatenate(list(raw.values())),
        **{name: rng.random(N * len(score)) for name in ("distance", "local_mass")},
    }
    columns = {name: values[shuffled] for name, values in columns.items()}
    write_step(attention, "attention", TABLES["attention"], columns, **keys)
    rows = {"response_id": [0], "position": [0], "layer": [0], "row": [np.array([1.0], np.float16)]}
    write_step(attention, "attention_rows", TABLES["attention_rows"], rows, **keys)
    write_manifest(attention)
    columns = {"response_id": response_N, "position": position_N, "predictive_entropy": predictive_N}
    columns |= {name: np.zeros(N) for name in ("token_id", "logprob", "rollout_logprob", "advantage")}
    write_step(tokens, "tokens", TABLES["tokens"], columns, **keys)
    write_manifest(tokens)
    masks = [(f"{part}_l{layer}", layer) for layer in score for part in ("anchors", "explorers")]
    both = [(*mask, denominator) for mask in masks for denominator in ("all", "selected")]
    columns = {name: [one[i] for one in both] for i, name in enumerate(("subset", "layer", "denominator"))}
    columns |= {"tokens": [1] * len(both)} | {name: rng.random(len(both)) for name in GEOMETRY}
    columns |= {"gain": [None] * len(both), "overlap": [None] * len(both)}
    write_step(GRADIENTS / str(base), "gradients", TABLES["gradients"], columns, **keys)
    write_manifest(GRADIENTS / str(base))


def tied(seed: int, n_layers: int = 3) -> dict[int, np.ndarray]:
    """Scores of layers 0, 2, 4...; few values, so that most ranks are ties, and one response that never varies."""
    rng = np.random.default_rng(seed)
    score = {2 * i: rng.integers(0, 4, N).astype(np.float32) / 4 for i in range(n_layers)}
    score[2][1:3] = 0.5
    return score


@pytest.fixture
def probe(tmp_path, monkeypatch) -> dict[str, np.ndarray]:
    """A probe with ties in the working directory; the scores of its rankings by name."""
    monkeypatch.chdir(tmp_path)
    score, predictive_N = tied(0), np.random.default_rng(1).integers(0, 6, N).astype(np.float32)
    write_probe(score, predictive_N, tied(9))
    return {**{str(layer): values for layer, values in score.items()}, "predictive_entropy": predictive_N}


def compare(p: float, score: str = "entropy_norm", bases: tuple[int, ...] = BASES) -> list[dict]:
    """The pairs of the probe in the working directory."""
    return [row for row in computed(p, score, bases) if row["other"] is not None]


def computed(p: float, score: str = "entropy_norm", bases: tuple[int, ...] = BASES) -> list[dict]:
    """Every row of the probe in the working directory."""
    roots = {"attention": ATTENTION, "gradients": GRADIENTS, "tokens": TOKENS}
    tables = Tables(roots, Wanted(bases=bases), "tokenspectrum.results.layers")
    return compute(tables, Given(LayersParams(p=p, score=score), {"tokens.alignment": "decision"})).rows


def row(*values) -> dict:
    """A pair by hand."""
    names = [column.name for column in RESULT.columns]
    return dict.fromkeys(names) | dict(zip(names, values, strict=False))


@pytest.fixture
def params(probe) -> dict:
    layers = {"p": 0.2, "score": "entropy_norm"}
    return {"analysis": {"layers": layers}, "bases": list(BASES), "tokens": {"alignment": "decision"}} | NAMED


def make(params: dict) -> tuple[bytes, bytes]:
    save_params(params)
    paths = {"attention": ATTENTION, "gradients": GRADIENTS, "tokens": TOKENS, "csv": CSV, "png": PNG}
    result.main(
        [
            "tokenspectrum.results.layers.result",
            *(word for flag, path in paths.items() for word in (f"--{flag}", str(path))),
        ]
    )
    return CSV.read_bytes(), PNG.read_bytes()


def responses(score_N: np.ndarray) -> list[list[float]]:
    return [part.tolist() for part in np.split(score_N, np.cumsum(LENGTHS)[:-1])]


def masks(score: list[float], p: float) -> tuple[set[int], set[int]]:
    """Anchors and explorers of one response, by the definition."""
    order = sorted(range(len(score)), key=lambda t: (score[t], t))
    k = max(1, math.floor(p * len(score) + 0.5))
    return set(order[:k]), set(order[-k:])


def random_overlap(n: int, k: int) -> list[tuple[float, int]]:
    """(probability, overlap) of two random masks of k of n."""
    total = math.comb(n, k)
    return [(math.comb(k, i) * math.comb(n - k, k - i) / total, i) for i in range(k + 1) if k - i <= n - k]


def expected_pair(a_N: np.ndarray, b_N: np.ndarray, p: float) -> dict[str, float]:
    """Every number of a pair but its n, by loops over responses."""
    overlaps, sizes, correlations = {"anchor": [], "explorer": []}, [], []
    for a, b in zip(responses(a_N), responses(b_N), strict=True):
        for name, one, other in zip(overlaps, masks(a, p), masks(b, p), strict=True):
            overlaps[name].append(len(one & other))
        sizes.append((len(a), len(masks(a, p)[0])))
        if len(set(a)) > 1 and len(set(b)) > 1:
            correlations.append(spearmanr(a, b).statistic)
    want: dict[str, float] = {"spearman": np.mean(correlations), "spearman_responses": len(correlations)}
    for name, counts in overlaps.items():
        unions = [2 * k - i for (_, k), i in zip(sizes, counts, strict=True)]
        want[f"{name}_jaccard"] = np.mean(np.array(counts) / unions)
        want[f"{name}_jaccard_pooled"] = sum(counts) / sum(unions)
    want["random_jaccard"] = np.mean([sum(q * i / (2 * k - i) for q, i in random_overlap(n, k)) for n, k in sizes])
    mean_overlaps = [sum(q * i for q, i in random_overlap(n, k)) for n, k in sizes]
    want["random_jaccard_pooled"] = sum(mean_overlaps) / (sum(2 * k for _, k in sizes) - sum(mean_overlaps))
    return want


@pytest.mark.parametrize("p", [0.01, 0.2, 0.5, 0.9])
def test_every_number_against_plain_loops(probe, p):
    pairs = compare(p)
    assert [(pair["base"], (pair["layer"], pair["other"])) for pair in pairs] == list(
        itertools.product(BASES, itertools.combinations(probe, 2))
    )
    for pair in pairs:
        assert (pair["responses"], pair["tokens"]) == (len(LENGTHS), N)
        one, other = (np.roll(probe[pair[name]], BASES.index(pair["base"])) for name in ("layer", "other"))
        for name, value in expected_pair(one, other, p).items():
            assert pair[name] == pytest.approx(value, abs=1e-9), (pair, name)


def test_a_base_policy_has_the_same_rows_whatever_others_there_are(probe):
    both = compare(0.2)
    assert both == compare(0.2, bases=(3,)) + compare(0.2, bases=(7,))
    assert [pair["anchor_jaccard"] for pair in both[:6]] != [pair["anchor_jaccard"] for pair in both[6:]]


def test_ties_constant_responses_and_single_tokens_are_in_the_probe(probe):
    one, other = responses(probe["0"]), responses(probe["2"])
    assert any(len(set(scores)) < len(scores) for scores in one)
    assert len(set(other[1])) == 1 < len(other[1])
    assert min(map(len, one)) == 1


def test_random_jaccard_of_one_response_by_enumeration():
    subsets = list(itertools.combinations(range(6), 2))
    mean = np.mean([len({*a} & {*b}) / len({*a} | {*b}) for a in subsets for b in subsets])
    assert sum(q * i / (4 - i) for q, i in random_overlap(6, 2)) == pytest.approx(mean)


def test_layers_that_agree_and_layers_that_are_opposite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    up_N = np.random.default_rng(0).permutation(N).astype(np.float32)
    write_probe({0: up_N, 1: 2 * up_N + 1, 2: -up_N}, up_N, bases=(3,))
    found = {(pair["layer"], pair["other"]): pair for pair in compare(0.2, bases=(3,))}
    same, opposite = found["0", "1"], found["1", "2"]
    assert (same["anchor_jaccard"], same["explorer_jaccard_pooled"], same["spearman"]) == (1, 1, 1)
    # Only a response of one token has the same anchor and explorer.
    assert opposite["anchor_jaccard"] == pytest.approx(2 / len(LENGTHS))
    assert opposite["spearman"] == -1
    assert found["2", "predictive_entropy"]["spearman"] == -1


def test_the_csv_holds_the_pairs(params):
    make(params)
    with CSV.open() as f:
        rows = [row for row in csv.DictReader(f) if row["other"]]
    pairs = compare(0.2)
    assert [row["other"] for row in rows] == [pair["other"] for pair in pairs]
    assert [row["base"] for row in rows] == ["3"] * 6 + ["7"] * 6
    for line, pair in zip(rows, pairs, strict=True):
        assert float(line["explorer_jaccard"]) == pytest.approx(pair["explorer_jaccard"], abs=5.1e-5)
        assert int(line["tokens"]) == N


def test_no_response_varies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_probe({0: np.zeros(N), 1: np.zeros(N)}, np.zeros(N))
    assert {pair["spearman"] for pair in compare(0.2)} == {None}
    own = {"layers": {"p": 0.2, "score": "entropy_norm"}}
    make({"analysis": own, "bases": list(BASES), "tokens": {"alignment": "token"}} | NAMED)
    assert ",,0,,,,,,small,tiny\n" in CSV.read_text()


def test_every_option_changes_its_result_and_nothing_else_does(params):
    first = make(params)
    assert make(params) == first
    params["tokens"]["alignment"] = "token"
    numbers, figure = make(params)
    assert numbers == first[0]  # said in the caption, decided when the probe was scored
    assert figure != first[1]
    seen = {first, (numbers, figure)}
    params["analysis"]["layers"]["p"] = 0.4
    seen.add(make(params))
    params["analysis"]["layers"]["score"] = "entropy_raw"
    seen.add(make(params))
    params["bases"] = [7]
    seen.add(make(params))
    assert len({numbers for numbers, _ in seen}) == 4
    assert len(seen) == 5


@pytest.mark.parametrize(("n_layers", "bases"), [(2, (1, 2, 3)), (36, (1,))])
def test_nothing_is_cut_off_at_the_edges(n_layers, bases):
    names = [*map(str, range(n_layers)), "predictive_entropy"]
    couples = itertools.product(bases, itertools.combinations(names, 2))
    pairs = [row(base, a, b, 512, 99999 - base, *[0.25] * 7, 500) for base, (a, b) in couples]
    image = imread(io.BytesIO(written(heat_maps(pairs, specs(pairs, 0.2, "entropy_norm", "decision")), "png")))
    for edge in (image[:3], image[-3:], image[:, :3], image[:, -3:]):
        assert (edge == 1).all()


def test_the_figure_has_no_date_or_version(params):
    _, figure = make(params)
    assert chunks(figure) <= {b"IHDR", b"pHYs", b"IDAT", b"IEND", b"Description"}


SPEARMAN = {("0", "1"): (None, 0), ("0", "x"): (-0.5, 9), ("1", "x"): (0.5, 9)}


def test_heat_maps_are_symmetric_and_have_no_diagonal():
    numbers = (9, 80, *[0.25] * 6)
    pairs = [row(1, *pair, *numbers, *of) for pair, of in SPEARMAN.items()]
    names, value_LL = matrix(pairs, "spearman")
    assert names == ["0", "1", "x"]
    np.testing.assert_array_equal(value_LL, [[np.nan, np.nan, -0.5], [np.nan, np.nan, 0.5], [-0.5, 0.5, np.nan]])


def test_the_colour_scale_reaches_what_is_shown():
    pairs = [row(1, "0", "1", 9, 80, 0.3, 0.3, 0.2, 0.2, 0.11, 0.11, -0.4, 9)]
    assert [ends_of(pairs, panel) for panel in ("anchors", "explorers", "ranks")] == [(0, 0.3), (0, 0.2), (-0.4, 0.4)]
    none = [row(1, "0", "1", 9, 80, 0.0, 0.0, 0.0, 0.0, 0.11, 0.11, None, 0)]
    assert [ends_of(none, panel) for panel in ("anchors", "ranks")] == [(0, 0.11), (-1, 1)]


def test_captions_and_labels_follow_the_spec():
    spec = AgreementSpec("anchors", "entropy_norm", "decision", 0.2, (4,), (512, 512), (12345, 12345), (0.1184, 0.1184))
    assert spec.title(4) == "anchors of base 4: Jaccard index"
    assert spec.caption == (
        "anchors: Jaccard index of the tokens of a response with the lowest attention entropy / ln(visible) at two"
        " layers, p = 0.2; mean over n = 512 responses; two random masks of that size: 0.118 (white mark); 12345"
        " tokens; alignment decision; last row and column: predictive entropy instead; base policy 4."
    )
    spec = AgreementSpec("anchors", "entropy_norm", "decision", 0.2, (4, 9), (8, 8), (70, 75), (0.1184, 0.1191))
    assert spec.caption.endswith(
        "two random masks of that size: 0.118 to 0.119 (white mark); 70 to 75 tokens; alignment decision; last row and"
        " column: predictive entropy instead; a row for each of base policies 4, 9."
    )
    spec = AgreementSpec("ranks", "entropy_raw", "token", 0.2, (4,), (500, 512), (12345, 12345), None)
    assert spec.title(4) == "ranks of base 4: Spearman's rank correlation"
    assert spec.caption == (
        "ranks: Spearman's rank correlation of a response's attention entropy in nats at two layers, ties by average"
        " ranks; mean over n = 500 to 512 responses, where both vary; 12345 tokens; alignment token; last row and"
        " column: predictive entropy instead; base policy 4."
    )


def test_a_single_layer_is_one_clear_line(params):
    for base in BASES:
        (ATTENTION / f"{base}/manifest.json").unlink()
    write_probe({3: np.zeros(N)}, np.zeros(N))
    with pytest.raises(UserError) as caught:
        make(params)
    assert str(caught.value) == (
        "attention: holds layer 3 alone, so no two layers can be compared; set tokens.layers to all, or list several"
    )
    assert not CSV.exists()


def test_folders_of_different_probes_are_refused(params):
    columns = {name: [0] for name in ("response_id", "position", "token_id", "advantage")}
    columns |= {name: [0.0] for name in ("predictive_entropy", "logprob", "rollout_logprob")}
    write_step(TOKENS / "7", "tokens", TABLES["tokens"], columns, run="base", seed=7, step=0)
    write_manifest(TOKENS / "7")
    with pytest.raises(UserError, match=r"^attention: its layers and tokens hold different tokens; run the tokens"):
        make(params)


def test_an_incomplete_or_foreign_folder_is_named(params):
    (TOKENS / "7/manifest.json").unlink()
    with pytest.raises(UserError, match=r"^tokens/7: no manifest\.json"):
        make(params)
    (TOKENS / "7/tokens/run=base").rename(TOKENS / "7/tokens/run=other")
    write_manifest(TOKENS / "7")
    with pytest.raises(UserError, match=r"^tokens/7/.*: not of run base seed 7; delete the folder"):
        make(params)


@pytest.mark.parametrize("p", [0.2, 0.4])
def test_each_layer_has_its_own_masks(probe, p):
    rows = [row for row in computed(p) if row["other"] is None]
    for base in BASES:
        attention = [r for f in sorted((ATTENTION / str(base)).rglob("attention/**/*.parquet")) for r in read(f)]
        written = {
            (r["subset"], r["denominator"]): r for f in (GRADIENTS / str(base)).rglob("*.parquet") for r in read(f)
        }
        for layer in sorted({row["layer"] for row in attention}):
            own = {(r["part"], r["measure"]): r for r in rows if (r["base"], r["layer"]) == (base, str(layer))}
            means = {part: [] for part in ("anchors", "explorers", "all")}
            for r in range(len(LENGTHS)):
                of = sorted((a for a in attention if (a["layer"], a["response_id"]) == (layer, r)), key=place)
                chosen = masks([a["entropy_norm"] for a in of], p)
                for part, keep in zip(means, (*chosen, range(len(of))), strict=True):
                    means[part].append(np.mean([of[t]["distance"] for t in keep]))
            for part, values in means.items():
                found = own[part, "distance"]
                assert found["value"] == pytest.approx(np.mean(values))
                assert found["ci_low"] < found["value"] < found["ci_high"]
                assert (part, "support_80") not in own  # not counted in this probe
            for part in ("anchors", "explorers"):
                name = f"{part}_l{layer}"
                assert own[part, "norm_ratio"]["value"] == written[name, "selected"]["norm_ratio"]
                assert own[part, "cosine"]["value"] == written[name, "all"]["cosine"]
                assert own[part, "proj_ratio"]["value"] == written[name, "all"]["proj_ratio"]


def place(row: dict) -> int:
    return row["position"]


def read(path: Path) -> list[dict]:
    return pq.ParquetFile(path).read().to_pylist()


def test_masks_of_other_sizes_than_the_gradients_are_refused():
    masks = SimpleNamespace(layers="all", p=0.2, score="entropy_norm")
    params = SimpleNamespace(analysis=SimpleNamespace(layers=LayersParams(p=0.3)))
    params.gradients = SimpleNamespace(by_layer=masks)
    assert list(RESULT.disagrees(params)) == [
        "analysis.layers.p: 0.3, but gradients.by_layer.p is 0.2; make them the same"
    ]
    masks.layers = ()
    assert list(RESULT.disagrees(params)) == []
