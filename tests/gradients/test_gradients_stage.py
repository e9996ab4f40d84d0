"""The stage `gradients` after the stages before it: its tables, its knobs, and what a wrong subset is told."""

import json
from pathlib import Path

import numpy as np
import pytest
from kit.policy import boxes, write_boxes
from kit.stages import BASE, run_rollouts, write_params
from kit.tables import sums, write_questions, write_vocab

from tokenspectrum.errors import UserError
from tokenspectrum.policy.vocab import vocab_columns
from tokenspectrum.stages import gradients, tokens
from tokenspectrum.tokenlog.reader import read_table

SUBSETS = {
    "anchors": {"kind": "anchor", "p": 0.3},
    "chance": {"kind": "random", "p": 0.5},
    "soft": {"kind": "static-anchor"},
}
GRADIENTS = {"subsets": SUBSETS, "deciles": {"layer": "mid", "score": "entropy_norm"}, "norms": 4}


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


def test_all_tokens_deciles_and_subsets_are_there(make, home):
    found, each = make()
    names = ["full", *SUBSETS, *(f"decile{d}" for d in range(10))]
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


def test_micro_batches_change_noise_alone(make):
    few, many = make(), make(systems={"micro_batch": 3})
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


def test_a_subset_of_a_later_policy_is_refused(make):
    with pytest.raises(UserError, match=r"gradients.subsets.late: entropy_of current is of a policy in training"):
        make(subsets={"late": {"kind": "anchor", "entropy_of": "current"}})
