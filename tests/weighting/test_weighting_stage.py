"""The stage `weights`, end to end on tables made here: files, numbers, tau auto, and what a wrong input is told."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from kit.tables import places, response_columns, write_vocab

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import PARAMS_ENV
from tokenspectrum.stages.weights import main
from tokenspectrum.tables import attention, responses, tokens, vocab
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.tokenlog.writer import write_file, write_manifest, write_step
from tokenspectrum.weighting.probe import Probe
from tokenspectrum.weighting.registry import read_rule
from tokenspectrum.weighting.rules._soft import solve_tau

LENGTHS = [7, 1, 12, 5]
PROMPTS = [3, 3, 9, 9]
NAMES = ["aaaa", "aaaa", "bbbb", "bbbb"]
ADVANTAGE = [0.5, -0.5, 0.75, -0.75]
TYPES = ["digit", "word", "special"]
N = sum(LENGTHS)
RESPONSE, POSITION = places(LENGTHS).values()
TOKEN = np.arange(N) % 3
ENTROPY = {layer: np.random.default_rng(layer).random(N).astype(np.float32) for layer in (0, 2)}
PREDICTIVE = np.random.default_rng(9).random(N).astype(np.float32)
ATTENTION = {"alignment": "decision", "score": "entropy_norm"}
HALF = {"p": 0.5, "scope": "response", "entropy_of": "old", "denominator": "selected"}
RULES = {
    "full": {"kind": "uniform"},
    "random50": {"kind": "random", "p": 0.5, "denominator": "all"},
    "anchor50": {"kind": "anchor", "layer": "deep", **HALF, **ATTENTION},
    "pred50": {"kind": "predictive-high", **HALF},
    "loss50": {"kind": "loss-high", "p": 0.5, "scope": "minibatch", "denominator": "selected"},
    "types50": {"kind": "type-matched", "of": {"kind": "anchor", "layer": "deep", **HALF, **ATTENTION}},
    "soft": {"kind": "low2high", "layer": 0, "tau": "auto", "s_warm": 4, "eps_mode": "exact", **ATTENTION},
    "static": {"kind": "static-anchor", "layer": 0, "tau": 1.0, "eps_mode": "exact", **ATTENTION},
    "shifted": {"kind": "anchor", "layer": "deep", **HALF, **ATTENTION, "alignment": "token"},
    "absent": {"kind": "anchor", "layer": 1, **HALF, **ATTENTION},
    "beyond": {"kind": "anchor", "layer": 3, **HALF, **ATTENTION},
}


def step(root, name, schema, columns):
    write_step(root, name, schema, columns, run="base", seed=5, step=0)
    write_manifest(root)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A probe of four responses in tables, out of order as a parallel writer may leave them, and params beside it."""
    step(
        tmp_path / "rollouts",
        "responses",
        responses.SCHEMA,
        response_columns(LENGTHS, prompt_id=NAMES, sample=[0, 1, 0, 1], n_prompt=PROMPTS, advantage=ADVANTAGE),
    )
    order = np.random.default_rng(0).permutation(N)
    named = {"response_id": RESPONSE[order], "position": POSITION[order]}
    floats = {name: np.zeros(N, np.float32) for name in ("logprob", "rollout_logprob", "advantage")}
    columns = named | floats | {"token_id": TOKEN[order], "predictive_entropy": PREDICTIVE[order]}
    step(tmp_path / "tokens", "tokens", tokens.SCHEMA, columns)
    visible = np.array(PROMPTS)[RESPONSE] + POSITION
    rows = {name: np.concatenate([value, value]) for name, value in named.items()}
    rows |= {"layer": np.repeat([0, 2], N), "visible": np.tile(visible[order], 2)}
    rows |= {"entropy_norm": np.concatenate([ENTROPY[layer][order] for layer in (0, 2)])}
    rows |= {name: np.zeros(2 * N, np.float32) for name in ("entropy_raw", "distance", "local_mass")}
    step(tmp_path / "attention", "attention", attention.SCHEMA, rows)
    write_vocab(tmp_path / "vocab", "tiny", ["1", "a", ""], TYPES)
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "config.json").write_text('{"num_hidden_layers": 3}')
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"rules": RULES}))
    monkeypatch.setenv(PARAMS_ENV, str(tmp_path / "params.yaml"))
    return tmp_path


def weigh(root: Path, method: str) -> Path:
    out = root / "weights" / method
    flags = [f"--{name}={root / name}" for name in ("rollouts", "tokens", "attention", "vocab", "policy")]
    main([*flags, f"--out={out}", f"--method={method}"])
    return out


def table(out):
    return read_table(out / "table", "weights", step=0)


def highest(score, k_of):
    """Mask of the k highest scores of each response."""
    chosen = np.zeros(N, bool)
    for r in range(4):
        inside = np.flatnonzero(r == RESPONSE)
        chosen[inside[np.argsort(score[inside])[-k_of[r] :]]] = True
    return chosen


HALVES = [4, 1, 6, 3]


def test_a_ranked_rule_is_written_and_realised(made):
    out = weigh(made, "anchor50")
    rule = read_rule(out / "rule.json")
    assert (rule.kind, rule.layer, rule.score, rule.p) == ("anchor", 2, "entropy_norm", 0.5)
    rows = table(out)
    chosen = highest(-ENTROPY[2], HALVES)
    assert rows["selected"].to_numpy().tolist() == chosen.tolist()
    assert rows["weight"].to_numpy().tolist() == chosen.astype(float).tolist()
    assert rows["score"].to_numpy().tolist() == ENTROPY[2].tolist()
    assert rows["response_id"].to_numpy().tolist() == RESPONSE.tolist()
    assert rows["position"].to_numpy().tolist() == POSITION.tolist()
    assert set(rows["rule"].to_pylist()) == {"anchor50"}
    assert (rows["run"][0].as_py(), rows["seed"][0].as_py()) == ("base", 5)
    (found,) = json.loads((out / "realised.json").read_text())["realised"]
    assert found["kept_fraction"] == chosen.mean()
    assert found["effective_sample_size"] == chosen.sum()
    assert found["weight_quantiles"]["0.5"] == np.quantile(chosen.astype(float), 0.5)
    for i, name in enumerate(TYPES):
        of_type = i == TOKEN
        assert found["by_type"][name]["tokens"] == of_type.sum()
        assert found["by_type"][name]["kept_fraction"] == chosen[of_type].mean()
        assert found["by_type"][name]["mean_score"] == pytest.approx(ENTROPY[2][of_type].mean(), rel=1e-6)


def test_types_have_the_numbers_that_they_have_in_training(made):
    probe = Probe(*(made / name for name in ("rollouts", "tokens", "attention", "vocab")))
    assert probe.token_types().tolist() == [vocab.TYPES.index(TYPES[token]) for token in TOKEN]
    few = Probe(*(made / name for name in ("rollouts", "tokens", "attention", "vocab")), rows=[1])
    assert few.token_types().tolist() == [vocab.TYPES.index(TYPES[token]) for token in TOKEN[RESPONSE == 1]]


def test_predictive_entropy_comes_from_the_tokens(made):
    rows = table(weigh(made, "pred50"))
    assert rows["selected"].to_numpy().tolist() == highest(PREDICTIVE, HALVES).tolist()


def test_loss_magnitude_on_the_base_policy_is_that_of_the_advantage(made):
    rows = table(weigh(made, "loss50"))
    assert rows["score"].to_numpy() == pytest.approx(np.abs(ADVANTAGE)[RESPONSE])
    # 13 of 25 tokens: none of the first two responses' 8 tokens.
    assert rows["selected"].to_numpy().sum() == 13
    assert not rows["selected"].to_numpy()[:8].any()


def test_a_matched_control_keeps_as_many_tokens_of_each_type(made):
    kept = {method: table(weigh(made, method))["selected"].to_numpy() for method in ("anchor50", "types50")}
    for r in range(4):
        for kind in range(3):
            inside = (r == RESPONSE) & (kind == TOKEN)
            assert kept["types50"][inside].sum() == kept["anchor50"][inside].sum()
    assert (kept["types50"] != kept["anchor50"]).any()


def test_full_training_has_weight_one_and_no_score(made):
    out = weigh(made, "full")
    assert json.loads((out / "rule.json").read_text()) == {"kind": "uniform", "denominator": "all"}
    assert table(out)["score"].null_count == N
    assert set(table(out)["weight"].to_pylist()) == {1.0}
    assert json.loads((out / "realised.json").read_text())["realised"][0]["by_type"]["digit"]["mean_score"] is None


def test_a_curriculum_shows_both_its_ends_and_tau_is_solved(made):
    out = weigh(made, "soft")
    rule = read_rule(out / "rule.json")
    assert rule.tau == solve_tau(torch.from_numpy(ENTROPY[0]), "exact")
    e = np.exp((ENTROPY[0].astype(float) - ENTROPY[0].max()) / rule.tau)
    abar = (e - e.min()) / (1 - e.min())
    first, last = json.loads((out / "realised.json").read_text())["realised"]
    assert (first["s"], first["w_low"], first["w_high"]) == (0, 1.0, 0.0)
    assert (last["s"], last["w_low"], last["w_high"]) == (4, 0.0, 1.0)
    assert first["mean_abar"] == last["mean_abar"] == pytest.approx(0.5, abs=2e-3)
    assert first["mean_weight"] == pytest.approx(1 - abar.mean(), rel=1e-6)
    assert table(out)["weight"].to_numpy() == pytest.approx(abar, abs=1e-6)


def test_a_static_rule_has_one_end(made):
    out = weigh(made, "static")
    (only,) = json.loads((out / "realised.json").read_text())["realised"]
    assert (only["s"], only["w_low"], only["w_high"]) == (0, 1.0, 0.0)
    assert "s_warm" not in read_rule(out / "rule.json").record()


def test_the_same_input_gives_the_same_bytes(made):
    names = ("rule.json", "code.json", "realised.json", "table/manifest.json")
    before = [(weigh(made, "random50") / name).read_bytes() for name in names]
    assert before == [(weigh(made, "random50") / name).read_bytes() for name in names]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("absent", "attention: no rows of layer 1, only of 0, 2; add it to tokens.layers"),
        ("beyond", "layer 3: the policy has layers 0 to 2"),
        ("shifted", "not of alignment token"),
        ("unheard", "rules.unheard: missing section"),
    ],
)
def test_wrong_params_are_one_line_and_leave_nothing(made, method, message):
    with pytest.raises(UserError, match=message) as e:
        weigh(made, method)
    assert "\n" not in str(e.value)
    assert not (made / "weights" / method).exists()


def test_tokens_of_other_responses_are_refused(made):
    columns = {"response_id": [0], "position": [0], "token_id": [0]}
    columns |= {name: [0.0] for name in ("logprob", "rollout_logprob", "advantage", "predictive_entropy")}
    step(made / "tokens", "tokens", tokens.SCHEMA, columns)
    with pytest.raises(UserError, match="tokens: its tokens are not those of the responses"):
        weigh(made, "full")


def test_a_token_outside_the_vocabulary_is_named(made):
    names = {"policy": ["tiny"], "token_id": [0], "text": ["1"], "type": ["digit"]}
    write_file(made / "vocab" / "vocab.parquet", vocab.SCHEMA, names)
    write_manifest(made / "vocab")
    with pytest.raises(UserError, match="vocab: no token 1"):
        weigh(made, "full")


@pytest.mark.parametrize("text", ["{}", "{", "[]"])
def test_a_config_without_layers_is_refused(made, text):
    (made / "policy" / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json: no num_hidden_layers"):
        weigh(made, "full")
    (made / "policy" / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        weigh(made, "full")
