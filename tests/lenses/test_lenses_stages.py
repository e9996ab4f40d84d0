"""The stages `signals` and `hot_forks` on a small policy: their tables, their knobs, and what is refused."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from kit.policy import write_boxes
from kit.stages import BASE, run_rollouts, write_params
from kit.tables import sums, write_questions

from tokenspectrum.errors import UserError
from tokenspectrum.stages import hot_forks, signals, tokens
from tokenspectrum.tokenlog.reader import read_table

SIGNALS = {"responses": 3, "tokens": 3, "layer": "deep", "sigma": 50.0, "rollouts": 4}
FORKS = {"quantile": 0.8, "temperatures": [0.5, 1.0, 2.0], "problems": 4, "samples": 3, "top_p": 1.0}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A policy, its probe and a benchmark."""
    root = tmp_path_factory.mktemp("home")
    write_boxes(root / "policy")
    write_questions(root / "prompts", {"train": sums(12)})
    write_questions(root / "benchmarks", {"easy": sums(6, 20), "hard": sums(3, 40)}, "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SNAKEDVC_LOG_DIR", raising=False)
        patch.setenv("SNAKEDVC_PARAMS", str(write_params(root / "params.yaml")))
        run_rollouts(root, root / "rollouts")
        flags = {name: root / name for name in ("rollouts", "policy", "attention")} | {"out": root / "tokens"}
        tokens.main([word for flag, path in flags.items() for word in (f"--{flag}", str(path))])
    return root


@pytest.fixture
def go(home, tmp_path, monkeypatch):
    """Run one of the stages with its section changed; the rows of its table."""

    def run(stage, section, read, *words, **systems):
        params = json.loads((home / "params.yaml").read_text())
        name = stage.__name__.rpartition(".")[2]
        params |= {name: section}
        params["systems"] |= systems
        (tmp_path / "params.yaml").write_text(json.dumps(params))
        monkeypatch.setenv("SNAKEDVC_PARAMS", str(tmp_path / "params.yaml"))
        flags = {flag: home / flag for flag in read} | {"out": tmp_path / "out"}
        stage.main([*(word for flag, path in flags.items() for word in (f"--{flag}", str(path))), *words])
        return read_table(tmp_path / "out", name, step=0).to_pylist()

    return run


def look(go, **changes):
    systems = {k: changes.pop(k) for k in ("micro_batch", "generate_batch", "processes") if k in changes}
    return go(signals, SIGNALS | changes, ("rollouts", "prompts", "policy"), **systems)


def test_signals_are_those_of_chosen_tokens(go, home):
    rows = look(go)
    lengths = dict(
        zip(
            *(read_table(home / "rollouts", "responses", step=0)[n].to_pylist() for n in ("response_id", "n_tokens")),
            strict=True,
        )
    )
    chosen = sorted({row["response_id"] for row in rows})
    assert len(chosen) == 3
    assert {row["seed"] for row in rows} == {BASE}
    for r in chosen:
        own = [row["position"] for row in rows if row["response_id"] == r]
        assert own == sorted(set(own))
        assert len(own) == min(3, lengths[r])
    for row in rows:
        a, b, n = row["after"], row["before"], SIGNALS["rollouts"]
        noise = b * (1 - b) / (n - 1)
        last = row["position"] == lengths[row["response_id"]] - 1
        noise += 0 if last else a * (1 - a) / (n - 1)
        assert row["variance"] == pytest.approx((a - b) ** 2 - noise)
        assert row["importance"] is None or row["importance"] > -1e-9
        assert np.isfinite(row["information"])
    assert any(row["importance"] is not None for row in rows)


def test_every_option_of_signals_counts(go):
    rows = look(go)
    again = look(go, micro_batch=2, generate_batch=7)
    assert [row["variance"] for row in again] == [row["variance"] for row in rows]
    fewer = look(go, responses=2, tokens=2)
    assert len(fewer) == 4
    assert {row["response_id"] for row in fewer} < {row["response_id"] for row in rows}
    for change in ({"layer": 0}, {"sigma": None, "rollouts": 9}):
        assert [row["information"] for row in look(go, **change)] != [row["information"] for row in rows]
    assert [row["before"] for row in look(go, rollouts=9)] != [row["before"] for row in rows]


def test_signals_found_by_several_processes_are_the_same(go, tmp_path, monkeypatch):
    def noted(*args, of=signals.successes):
        (tmp_path / f"pid{os.getpid()}").touch()
        return of(*args)

    rows = look(go)
    monkeypatch.setattr(signals, "successes", noted)
    assert look(go, processes=2) == rows
    pids = {path.name for path in tmp_path.glob("pid*")}
    assert len(pids) == 2
    assert f"pid{os.getpid()}" not in pids


def test_signals_need_no_more_positions_than_the_probe(go, home, tmp_path):
    rows = look(go)
    short = shutil.copytree(home / "policy", tmp_path / "short")
    config = json.loads((short / "config.json").read_text())
    config["max_position_embeddings"] = 16  # the longest prompt and response; a continuation of 10 tokens has no room
    (short / "config.json").write_text(json.dumps(config))
    found = go(signals, SIGNALS, ("rollouts", "prompts", "policy"), "--policy", str(short))
    assert [row["variance"] for row in found] == [row["variance"] for row in rows]


def heat(go, **changes):
    return go(hot_forks, FORKS | changes, ("tokens", "benchmarks", "policy"), "--base", str(BASE))


def test_hot_forks_has_every_setting(go, home):
    rows = heat(go)
    assert len(rows) == 2 * 3 * (4 + 3) * 3
    entropies = read_table(home / "tokens", "tokens", step=0)["predictive_entropy"].to_numpy()
    assert [row["threshold"] for row in rows] == pytest.approx([float(np.quantile(entropies, 0.8))] * len(rows))

    def of(heated, t, rows=rows):
        return [
            (r["prompt_id"], r["sample"], r["correct"], r["n_tokens"])
            for r in rows
            if (r["heated"], r["temperature"]) == (heated, t)
        ]

    # At T' = 1 nothing is heated, and the draws are the same.
    assert of("forks", 1.0) == of("others", 1.0)
    assert of("forks", 2.0) != of("others", 2.0) != of("others", 1.0)
    assert of("forks", 0.5) != of("forks", 1.0)
    assert len(heat(go, temperatures=[1.0])) == len(rows) / 3
    assert len(heat(go, samples=1)) == len(rows) / 3
    assert len(heat(go, problems=2)) == 2 * 3 * (2 + 2) * 3
    assert {row["threshold"] for row in heat(go, quantile=0.2)} != {row["threshold"] for row in rows}
    narrow = heat(go, top_p=0.3)
    assert of("others", 2.0, narrow) != of("others", 2.0)


def test_a_problem_of_two_benchmarks_is_answered_once_and_counts_in_both(go, home):
    write_questions(home / "twice", {"easy": sums(6, 20), "hard": sums(2, 41) + sums(1, 20)}, "test")
    (home / "benchmarks").rename(home / "once")
    (home / "twice").rename(home / "benchmarks")
    try:
        rows = heat(go)
    finally:
        (home / "benchmarks").rename(home / "twice")
        (home / "once").rename(home / "benchmarks")

    def of(benchmark):
        return {
            (r["heated"], r["temperature"], r["prompt_id"], r["sample"]): (r["correct"], r["n_tokens"])
            for r in rows
            if r["benchmark"] == benchmark
        }

    hard, easy = of("hard"), of("easy")
    both = hard.keys() & easy.keys()
    assert len(both) == 2 * 3 * 3
    assert len(hard) == 2 * 3 * 3 * 3
    assert all(hard[row] == easy[row] for row in both)


def test_several_processes_sample_the_same(go):
    read = ("tokens", "benchmarks", "policy")
    one, three = (go(hot_forks, FORKS, read, "--base", str(BASE), processes=processes) for processes in (1, 3))
    assert three == one


def test_a_section_that_asks_for_nothing_is_one_line(go):
    with pytest.raises(UserError, match="signals: null, so nothing is asked for"):
        go(signals, None, ("rollouts", "prompts", "policy"))
    with pytest.raises(UserError, match="hot_forks: null, so nothing is asked for"):
        go(hot_forks, None, ("tokens", "benchmarks", "policy"), "--base", "1")
