"""What a long stage says of itself."""

import json
import logging

from tokenspectrum.cli.watch import remaining
from tokenspectrum.systems import progress as room
from tokenspectrum.systems.progress import LOG_DIR_ENV, Progress


def test_tokens_a_second_and_the_time_left(tmp_path, monkeypatch, caplog):
    now = [1000.0]
    monkeypatch.setattr(room.time, "time", lambda: now[0])
    monkeypatch.setenv(LOG_DIR_ENV, str(tmp_path))
    with caplog.at_level(logging.INFO), Progress("sample", total=10) as progress:
        now[0] += 20.0
        progress.count(300)
        progress.count(100)
        progress.update(4)
        state = json.loads((tmp_path / "progress.json").read_text())
        assert (state["done"], state["fields"]) == (4, {"tokens_a_second": 20.0})
        now[0] += 20.0
        progress.update(10)
    assert caplog.messages == [
        "sample 0/10 ",
        "sample 4/10 tokens_a_second 20, 30 s to go",
        "sample 10/10 tokens_a_second 10",
    ]
    assert not (tmp_path / "progress.json").exists()


def test_what_an_earlier_run_had_done_took_this_one_no_time(tmp_path, monkeypatch, caplog):
    now = [1000.0]
    monkeypatch.setattr(room.time, "time", lambda: now[0])
    monkeypatch.setenv(LOG_DIR_ENV, str(tmp_path))
    with caplog.at_level(logging.INFO), Progress("train", total=40, begun=lambda: 30) as progress:
        now[0] += 20.0
        progress.update(30)
        now[0] += 40.0
        progress.update(32)  # two in a minute: eight take four more
        state = json.loads((tmp_path / "progress.json").read_text())
    assert caplog.messages == ["train 0/40 ", "train 30/40 ", "train 32/40 , 240 s to go"]
    assert remaining(state, now[0]) == "4:00 to go"
    assert remaining(state | {"done": 30}, now[0]) == ""
