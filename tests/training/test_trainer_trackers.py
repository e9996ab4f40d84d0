"""Every tracker by its own real library, offline: the curves and the table of responses that a run gave it."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tokenspectrum.errors import UserError
from tokenspectrum.systems.board import Board
from tokenspectrum.systems.params import SystemsParams

PAGE = (Path(__file__).resolve().parents[2] / "docs/sharing.md").read_text()
HOSTILE = "a | b\n<script>alert(1)</script> `x`"
COLUMNS = {"prompt_id": ["p", "q", "r"], "text": [HOSTILE, "two", "three"], "reward": [1.0, -1.0, 0.5]}


def write(kind: str, folder, *, count: int = 2, first: int = 1) -> None:
    """Three steps of a run; responses on steps 1 and 3."""
    systems = SystemsParams(tracker=kind, tracker_responses={"every": 2, "count": count})
    with Board(systems, folder, "full-s1", first) as board:
        for step in (1, 2, 3):
            board.add(step, {"reward": step / 2, "s_m": [1.0, None, 2.0], "grad_norm": None, "realised": "{}"})
            board.responses(step, COLUMNS)


def test_tensorboard_has_curves_and_responses(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write("tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/reward")] == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert [e.value for e in events.Scalars("train/s_m")] == [1.5] * 3
    assert set(events.Tags()["scalars"]) == {"train/reward", "train/s_m"}
    tables = events.Tensors("responses/text_summary")
    assert [e.step for e in tables] == [1, 3]
    (text,) = tables[0].tensor_proto.string_val
    lines = text.decode().splitlines()
    assert lines[0] == "| prompt_id | text | reward |"
    assert len(lines) == 2 + 2
    assert "<script>" not in text.decode()


def test_wandb_keeps_an_offline_run(tmp_path, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    write("wandb", tmp_path)
    (path,) = tmp_path.glob("wandb/wandb/offline-run-*/run-*.wandb")
    (told,) = re.findall(r"`wandb sync logs/train/train@full-1/(\S+)`", PAGE)
    assert list(tmp_path.glob(told)) == [path.parent]
    kept = path.read_bytes()  # protobuf records, whose texts lie there as they are
    assert kept.count(b"train/reward") >= 3
    assert b"train/grad_norm" not in kept
    tables = sorted(path.parent.rglob("*.table.json"), key=lambda file: file.stat().st_mtime)
    assert json.loads(tables[0].read_text())["data"] == [["p", HOSTILE, 1.0], ["q", "two", -1.0]]


def test_trackio_keeps_a_local_database(tmp_path):
    # In a process of its own, as a stage is: the library reads where its database lies when it is imported.
    env = {name: value for name, value in os.environ.items() if name != "TRACKIO_DIR"}
    command = "from pathlib import Path; from test_trainer_trackers import write; write('trackio', Path('.'))"
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    subprocess.run([sys.executable, "-c", command], cwd=tmp_path, env=env, check=True)
    (told,) = re.findall(r"`TRACKIO_DIR=logs/train/train@full-1/(\S+) trackio show", PAGE)
    with sqlite3.connect(tmp_path / told / "tokenspectrum.db") as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
    logged = [(run, step, json.loads(metrics)) for run, step, metrics in rows]
    curves = [(step, metrics) for _, step, metrics in logged if "responses" not in metrics]
    assert {run for run, _, _ in logged} == {"full-s1"}
    assert curves == [(step, {"train/reward": step / 2, "train/s_m": 1.5}) for step in (1, 2, 3)]
    tables = [(step, metrics["responses"]["_value"]) for _, step, metrics in logged if "responses" in metrics]
    assert [step for step, _ in tables] == [1, 3]
    assert [row["text"] for row in tables[0][1]] == [HOSTILE, "two"]


def test_none_writes_nothing_and_zero_responses_are_no_table(tmp_path):
    write("none", tmp_path)
    assert not list(tmp_path.iterdir())
    with Board(SystemsParams(), None, "full-s1", 1) as board:
        board.add(1, {"reward": 1.0})
    write("tensorboard", tmp_path, count=0)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert not EventAccumulator(str(tmp_path / "tensorboard")).Reload().Tags()["tensors"]


def test_a_tracker_that_is_not_installed_is_one_line(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "tokenspectrum.systems.trackers.wandb", raising=False)
    with pytest.raises(UserError, match=r"systems\.tracker: wandb cannot be imported .* pip install"):
        write("wandb", tmp_path)
