"""Runs whose tables come at some steps alone, and runs of which another training has left something behind."""

import shutil

import numpy as np
from kit import tables
from view_kit import LENGTHS, ready_store, write_preset, write_tables

from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.writer import write_manifest, write_step
from tokenspectrum.view.filters import Filters
from tokenspectrum.view.strip import strip

DOT = "token_gradients.dot"
N = sum(LENGTHS)


def write_gradients(root, run, seed, step, first=0.0):
    columns = tables.places(LENGTHS)
    columns |= {"norm": np.ones(N), "dot": np.linspace(first, first + 1, N), "accuracy_dot": np.zeros(N)}
    write_step(root, "token_gradients", TABLES["token_gradients"], columns, run=run, seed=seed, step=step)
    write_manifest(root)


def entry(store, run, seed):
    return next(one for one in store.state()["runs"] if (one["run"], one["seed"]) == (run, seed))


def test_a_table_that_begins_at_a_later_step_is_on_the_cloud_and_on_the_strip(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    write_gradients(artifacts / "run_gradients/full-s1", "full", 1, 2, first=5.0)
    store = ready_store(artifacts)
    (column,) = [column for column in store.state()["columns"] if column["id"] == DOT]
    assert column["runs"] == 1
    assert DOT in strip(store, ("full", 1, 2), 3)["values"]
    assert DOT not in strip(store, ("full", 1, 1), 3)["values"]
    assert 5 <= store.scale(DOT)["high"] <= 6  # of the one step that has any
    for step, without in ((1, N), (2, 0)):
        cloud = store.cloud(DOT, "tokens.logprob", Filters(runs=("full",), seeds=(1,), step_from=step, step_to=step))
        assert sum(cloud["n"]) == N
        assert sum(n for x, n in zip(cloud["x"], cloud["n"], strict=True) if x == cloud["bins"]) == without


def test_a_training_that_was_given_up_adds_no_steps_to_the_run_made_after_it(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    before = ready_store(artifacts).state()["runs"]
    outputs = tmp_path / "ckpt/train@full-1/key/outputs/tokenlog"
    for step in (1, 2, 3, 4):  # the run that is there has two
        write_tables(outputs, ("full", 1, step))
    store = ready_store(artifacts, tmp_path / "ckpt")
    assert store.state()["runs"] == before
    assert store.notices == []


def test_a_training_that_begins_again_shows_every_step_whatever_was_made_of_the_one_before(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    root = artifacts / "train/full-s1"
    shutil.rmtree(root)
    write_gradients(artifacts / "run_gradients/full-s1", "full", 1, 2)
    # What a training leaves that is killed as it copies its result.
    write_tables(root / ".tokenlog.tmp", ("full", 1, 1))
    write_manifest(root / ".tokenlog.tmp")
    outputs = tmp_path / "ckpt/train@full-1/key/outputs/tokenlog"
    for step in (1, 2, 3):
        write_tables(outputs, ("full", 1, step))
    store = ready_store(artifacts, tmp_path / "ckpt")
    assert (entry(store, "full", 1)["steps"], entry(store, "full", 1)["live"]) == ([1, 2, 3], True)
    # Those gradients are of other tokens.
    assert DOT not in strip(store, ("full", 1, 2), 3)["values"]
