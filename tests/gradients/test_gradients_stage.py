"""The stage `gradients` after the stages before it: its tables, its knobs, and what a wrong subset is told."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from kit.policy import boxes, write_boxes
from kit.stages import BASE, run_rollouts, write_params
from kit.tables import sums, write_questions, write_vocab
from kit.warm import run
from pydantic import ValidationError

from tokenspectrum.errors import UserError
from tokenspectrum.gradients.subsets import subsets_of
from tokenspectrum.params.gradients import GradientsParams
from tokenspectrum.policy.vocab import vocab_columns
from tokenspectrum.stages import gradients, tokens
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.weighting.probe import Probe

SUBSETS = {
    "anchors": {"kind": "anchor", "p": 0.3},
    "chance": {"kind": "random", "p": 0.5},
    "soft": {"kind": "static-anchor"},
}
MATCHED = {"alike": {"of": "anchors", "on": ["position", "loss"]}}
SPARSE = {"prompts": 2, "p": [0.2, 0.5], "draws": 3, "signs": 4}
GRADIENTS = {
    "subsets": SUBSETS,
    "matched": MATCHED,
    "deciles": {"layer": "mid", "score": "entropy_norm"},
    "by_layer": {"layers": [0, "deep"], "p": 0.3},
    "norms": 4,
    "sparse": SPARSE,
}
NAMED = [*SUBSETS, *MATCHED]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A policy and its probe, with everything that the stage reads."""
    root = tmp_path_factory.mktemp("home")
    write_boxes(root / "policy")
    write_questions(root / "prompts", {"train": sums(12)})
    columns = vocab_columns(boxes(), "")
    write_vocab(root / "vocab", "boxes", columns["text"], columns["type"])
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SNAKEDVC_LOG_DIR", raising=False)
        patch.setenv("SNAKEDVC_PARAMS", str(write_params(root / "params.yaml")))
        run_rollouts(root, root / "rollouts")
        flags = {name: root / name for name in ("rollouts", "policy", "attention")} | {"out": root / "tokens"}
        tokens.main([word for flag, path in flags.items() for word in (f"--{flag}", str(path))])
    return root


@pytest.fixture
def make(home, tmp_path, monkeypatch):
    """Run the stage with changed options: (rows of gradients by subset and denominator, rows of token_gradients)."""

    def run(systems=None, **changes):
        params = json.loads((home / "params.yaml").read_text())
        params["gradients"] = GRADIENTS | changes
        params["systems"] |= systems or {}
        (tmp_path / "params.yaml").write_text(json.dumps(params))
        monkeypatch.setenv("SNAKEDVC_PARAMS", str(tmp_path / "params.yaml"))
        names = ("rollouts", "tokens", "attention", "vocab", "policy")
        flags = {name: home / name for name in names} | {"out": tmp_path / "out"}
        gradients.main([word for flag, path in flags.items() for word in (f"--{flag}", str(path))])
        table = read_table(tmp_path / "out", "gradients", step=0)
        each = read_table(tmp_path / "out", "token_gradients", step=0).to_pylist()
        return {(row["subset"], row["denominator"]): row for row in table.to_pylist()}, each

    return run


def test_several_processes_make_the_same_bytes(home, warm, tmp_path):
    made = {}
    for processes in (1, 3):
        params = json.loads((home / "params.yaml").read_text())
        params |= {"gradients": GRADIENTS, "systems": params["systems"] | {"processes": processes, "micro_batch": 3}}
        (tmp_path / "params.yaml").write_text(json.dumps(params))
        names = ("rollouts", "tokens", "attention", "vocab", "policy")
        flags = {name: home / name for name in names} | {"out": tmp_path / str(processes)}
        words = [word for flag, path in flags.items() for word in (f"--{flag}", str(path))]
        # As a stage, which has a process of its own: PyTorch takes no gradient in a fork of one that has taken some.
        env = os.environ | {"SNAKEDVC_PARAMS": str(tmp_path / "params.yaml"), "OMP_NUM_THREADS": str(processes)}
        done = run(warm, ["-m", "tokenspectrum.stages.gradients", *words], env)
        assert done.returncode == 0, done.stderr
        made[processes] = (tmp_path / str(processes) / "manifest.json").read_bytes()
    assert made[1] == made[3]


def test_all_tokens_deciles_and_subsets_are_there(make, home):
    found, each = make()
    layered = [f"{part}_l{layer}" for layer in (0, 2) for part in ("anchors", "explorers")]
    names = ["full", *NAMED, *(f"decile{d}" for d in range(10)), *layered]
    assert list(found) == [(name, denominator) for name in names for denominator in ("all", "selected")]
    whole = found["full", "all"]
    assert (whole["run"], whole["seed"], whole["norm_ratio"]) == ("base", BASE, 1.0)
    assert whole["proj_ratio"] == pytest.approx(1.0, abs=1e-5)
    assert sum(found[f"decile{d}", "all"]["proj_ratio"] for d in range(10)) == pytest.approx(1.0, abs=1e-5)
    order = [("response_id", "ascending"), ("position", "ascending")]
    probed = read_table(home / "tokens", "tokens", step=0).sort_by(order)
    assert len(each) == probed.num_rows == whole["tokens"]
    dots, advantages = np.array([row["dot"] for row in each]), probed["advantage"].to_numpy()
    assert (dots[advantages == 0] == 0).all()
    assert (dots[advantages != 0] != 0).any()
    assert sum(row["norm"] is not None for row in each) == 4
    assert found["soft", "all"]["layer"] == found["anchors", "all"]["layer"] == 1
    assert found["chance", "all"]["layer"] is None


def test_micro_batches_and_shared_prompts_change_noise_alone(make):
    few, many = make(), make(systems={"micro_batch": 3, "share_prompts": True})
    for key, row in few[0].items():
        for name in ("norm_ratio", "cosine", "proj_ratio", "gain"):
            assert many[0][key][name] == pytest.approx(row[name], rel=1e-3, abs=1e-3)


def test_every_option_changes_what_it_should(make):
    found, each = make()
    other, _ = make(subsets=SUBSETS | {"anchors": {"kind": "anchor", "p": 0.8}})
    assert other["anchors", "all"]["tokens"] > found["anchors", "all"]["tokens"]
    assert other["chance", "all"] == found["chance", "all"]
    moved, _ = make(deciles={"layer": "deep", "score": "entropy_norm"})
    assert moved["decile0", "all"]["layer"] == 2
    assert moved["decile0", "all"]["proj_ratio"] != found["decile0", "all"]["proj_ratio"]
    raw, _ = make(deciles={"layer": "mid", "score": "entropy_raw"})
    assert raw["decile0", "all"]["proj_ratio"] != found["decile0", "all"]["proj_ratio"]
    _, none = make(norms=0)
    assert {row["norm"] for row in none} == {None}
    assert [row["dot"] for row in none] == [row["dot"] for row in each]


def test_a_layer_with_two_names_is_one_layer(make):
    found, _ = make(by_layer={"layers": ["shallow", 0], "p": 0.3}, sparse=None, norms=0)
    assert [name for name, _ in found if name.endswith("_l0")] == ["anchors_l0"] * 2 + ["explorers_l0"] * 2


def test_a_control_of_a_rule_by_loss_is_a_subset(make):
    of = {"kind": "loss-high", "p": 0.5}
    found, _ = make(
        subsets={"loss": of, "chance": {"kind": "type-matched", "of": of}}, matched={}, sparse=None, norms=0
    )
    assert found["chance", "all"]["tokens"] == found["loss", "all"]["tokens"]


def test_the_batch_may_be_the_responses_of_some_prompts(make, home):
    everything, each = make()
    assert make(prompts=12) == (everything, each)
    found, part = make(prompts=4, by_layer={}, norms=0, sparse=None)
    responses = read_table(home / "rollouts", "responses", step=0).to_pylist()
    prompt = {row["response_id"]: row["prompt_id"] for row in responses}
    kept = {prompt[row["response_id"]] for row in part}
    assert len(kept) == 4
    lengths = {row["response_id"]: row["n_tokens"] for row in responses if row["prompt_id"] in kept}
    assert len(part) == sum(lengths.values()) == found["full", "all"]["tokens"]
    # k of each response, as if the others were not there.
    assert found["anchors", "all"]["tokens"] == sum(max(1, int(0.3 * n + 0.5)) for n in lengths.values())
    assert sum(found[f"decile{d}", "all"]["proj_ratio"] for d in range(10)) == pytest.approx(1.0, abs=1e-5)
    assert found["full", "all"]["gain"] != everything["full", "all"]["gain"]
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        GradientsParams(prompts=0)


def test_a_control_has_as_many_tokens_of_each_class_by_chance(make, home):
    found, _ = make()
    assert found["alike", "all"]["tokens"] == found["anchors", "all"]["tokens"]
    assert 0 < found["alike", "all"]["overlap"] < 1
    assert found["anchors", "all"]["overlap"] is None
    closer, _ = make(matched={"alike": {"of": "anchors", "on": ["type", "position", "predictive", "loss"]}})
    assert closer["alike", "all"]["overlap"] > found["alike", "all"]["overlap"]
    scores = Probe(*(home / name for name in ("rollouts", "tokens", "attention", "vocab")))
    params = GradientsParams.model_validate_json(json.dumps(GRADIENTS | {"sparse": None}))
    subsets = {subset.name: subset.weight_N.numpy() for subset in subsets_of(params, scores, 3, "decision")}
    lengths = np.repeat(scores.lengths, scores.lengths)
    loss = scores.loss_magnitude().numpy()
    below = np.array([(loss < value).sum() for value in loss])
    classes = list(zip(scores.position_N * 5 // lengths, 5 * below // len(loss), strict=True))
    for one in set(classes):
        of = np.array([c == one for c in classes])
        assert subsets["alike"][of].sum() == subsets["anchors"][of].sum()


def test_anchors_of_a_layer_are_the_rules(make):
    found, _ = make(subsets={"anchors": {"kind": "anchor", "p": 0.3, "layer": "deep"}}, matched={})
    for name in ("tokens", "norm_ratio", "cosine", "proj_ratio"):
        assert found["anchors_l2", "all"][name] == pytest.approx(found["anchors", "all"][name], rel=1e-5)
    other, _ = make(by_layer={"layers": "all", "p": 0.6})
    assert other["anchors_l2", "all"]["tokens"] > found["anchors_l2", "all"]["tokens"]
    assert ("explorers_l1", "all") in other
    raw, _ = make(by_layer={"layers": [0], "p": 0.3, "score": "entropy_raw"})
    assert raw["anchors_l0", "all"]["cosine"] != found["anchors_l0", "all"]["cosine"]


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_loss_is_ranked_by_the_advantages_size(make, home, p):
    """|A| is |l| at ratio 1.  Of the batch its smallest and largest; of a response, where it is one number, any k."""
    asked = {
        f"{end}_{scope}": {"kind": f"loss-{end}", "p": p, "scope": scope}
        for end in ("low", "high")
        for scope in ("minibatch", "response")
    }
    found, each = make(subsets=asked, matched={}, sparse=None, norms=0)
    probed = read_table(home / "tokens", "tokens", step=0).sort_by(
        [(n, "ascending") for n in ("response_id", "position")]
    )
    advantage, response = (probed[name].to_numpy() for name in ("advantage", "response_id"))
    size = np.abs(advantage)
    assert len(set(size)) > 2
    assert advantage.min() < 0 < advantage.max()
    params = GradientsParams.model_validate_json(
        json.dumps(GRADIENTS | {"subsets": asked, "matched": {}, "sparse": None})
    )
    scores = Probe(*(home / name for name in ("rollouts", "tokens", "attention", "vocab")))
    kept = {subset.name: subset.weight_N.numpy() > 0 for subset in subsets_of(params, scores, 3, "decision")}
    dots = np.array([row["dot"] for row in each])
    for name in asked:
        # What the stage measured are these tokens.
        assert found[name, "all"]["proj_ratio"] == pytest.approx(
            dots[kept[name]].sum() / dots.sum(), rel=1e-3, abs=1e-4
        )
    low, high = kept["low_minibatch"], kept["high_minibatch"]
    assert low.sum() == high.sum() == int(p * len(size) + 0.5)
    assert size[low].max() <= size[~low].min()
    assert size[high].min() >= size[~high].max()
    assert (advantage[high] < 0).any()
    for name in ("low_response", "high_response"):
        for r in set(response):
            own = kept[name][response == r]
            assert own.sum() == max(1, int(p * len(own) + 0.5))


def test_random_masks_are_measured(make, tmp_path):
    make()
    rows = read_table(tmp_path / "out", "sparse_gradients", step=0).to_pylist()
    assert len(rows) == 2 * 2 * 3 + 4
    assert len({row["batch"] for row in rows}) == 1
    assert all(row["error"] > 0 for row in rows)
    few = make(sparse=SPARSE | {"prompts": 1})
    assert read_table(tmp_path / "out", "sparse_gradients", step=0)["batch"][0].as_py() < rows[0]["batch"]
    shutil.rmtree(tmp_path / "out")
    make(sparse=None)
    with pytest.raises(UserError, match="no rows of table sparse_gradients"):
        read_table(tmp_path / "out", "sparse_gradients", step=0)
    assert few[0]["full", "all"]["norm_ratio"] == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matched": {"alike": {"of": "nonesuch"}}}, "matched.alike.of: nonesuch is not in subsets"),
        ({"matched": {"anchors": {"of": "chance"}}}, "matched.anchors: there is a subset of this name already"),
    ],
)
def test_a_control_of_nothing_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        GradientsParams.model_validate_json(json.dumps(GRADIENTS | changes))


def test_a_control_of_weights_is_refused(make):
    with pytest.raises(UserError, match=r"gradients.matched.alike.of: soft weighs its tokens; match one that keeps"):
        make(matched={"alike": {"of": "soft"}})


def test_a_subset_of_a_later_policy_is_refused(make):
    with pytest.raises(UserError, match=r"gradients.subsets.late: entropy_of current is of a policy in training"):
        make(subsets={"late": {"kind": "anchor", "entropy_of": "current"}}, matched={})
