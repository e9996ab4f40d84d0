"""Every tracker by its own real library, offline: the curves and the table of responses that a run gave it."""

import json

import pytest

from tokenspectrum.errors import UserError
from tokenspectrum.systems.board import Board
from tokenspectrum.systems.params import SystemsParams

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
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    write("wandb", tmp_path)
    (path,) = tmp_path.glob("wandb/wandb/offline-run-*/run-*.wandb")
    kept = path.read_bytes()  # protobuf records, whose texts lie there as they are
    assert kept.count(b"train/reward") >= 3
    assert b"train/grad_norm" not in kept
    tables = sorted(path.parent.rglob("*.table.json"), key=lambda file: file.stat().st_mtime)
    assert json.loads(tables[0].read_text())["data"] == [["p", HOSTILE, 1.0], ["q", "two", -1.0]]


def test_trackio_keeps_a_local_database(tmp_path, monkeypatch):
    trackio = pytest.importorskip("trackio")
    monkeypatch.setattr("trackio.utils.TRACKIO_DIR", tmp_path, raising=False)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    write("trackio", tmp_path)
    assert trackio.__version__
    assert list(tmp_path.rglob("*.db"))


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
