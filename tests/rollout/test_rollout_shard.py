"""The owner's end of vLLM's processes, against processes that stand in for vLLM and hang in every way."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.engines.vllm.shard import Request, Sampled
from tokenspectrum.systems import shard as shard_module
from tokenspectrum.systems.shard import Program, Shard, ShardError, answers, own_devices

REQUESTS = [Request(key, (2, 3), 7, 1.0, 1.0, 5, (1,)) for key in range(4)]
ANSWER = [Sampled(request.key, (4,), (-1.0,), "stop") for request in REQUESTS]
UP = """
import os, struct, sys, time
from multiprocessing.connection import Connection
from tokenspectrum.rollout.engines.vllm.shard import Sampled
owner = Connection(int(sys.argv[1]))
owner.recv()
owner.send(("ready", None))
def answer():
    owner.send(("sampled", [Sampled(request.key, (4,), (-1.0,), "stop") for request in requests]))
"""
ASKED = UP + "requests = owner.recv()\n"
WELL = ASKED + "answer(); owner.recv()"
SILENT = ASKED + "time.sleep(600)"


@contextmanager
def stand_in(code: str, stall_timeout: float, index: int = 0) -> Iterator[Shard]:
    shard = Shard(index, Program("vLLM", "systems.vllm", code, "first", stall_timeout))
    try:
        shard.ready()
        yield shard
    finally:
        shard.close()


def only(shard: Shard, requests: list[Request] = REQUESTS) -> list[Sampled] | ShardError:
    [(answering, answer)] = answers([(shard, requests)])
    assert answering is shard
    return answer


@pytest.mark.parametrize(
    "hanging",
    [
        SILENT,
        ASKED + "owner.send(('progress', 1)); time.sleep(600)",
        # Half a message: its length, and less than that.
        ASKED + "os.write(owner.fileno(), struct.pack('!i', 1000) + b'some'); time.sleep(600)",
    ],
    ids=["says nothing", "makes one step", "stops in a message"],
)
def test_a_shard_that_hangs_is_given_up(hanging):
    with stand_in(hanging, 0.5) as shard:
        answer = only(shard)
    assert isinstance(answer, ShardError)
    assert str(answer) == "no progress for 0.5 s (systems.vllm.stall_timeout)"
    assert shard.process.returncode == -signal.SIGKILL


def test_a_shard_that_does_not_even_take_its_requests_is_given_up():
    big = [Request(key, tuple(range(1000, 9000)), 7, 1.0, 1.0, 5, (1,)) for key in range(100)]
    with stand_in(UP + "time.sleep(600)", 0.5) as shard:
        assert "no progress for 0.5 s" in str(only(shard, big))


def test_a_shard_as_silent_as_that_is_waited_for_under_a_longer_limit():
    with stand_in(ASKED + "time.sleep(2); answer(); owner.recv()", 600) as shard:
        assert only(shard) == ANSWER


def test_steps_are_progress_however_long_the_whole_takes():
    steps = "for _ in range(10): time.sleep(0.5); owner.send(('progress', 0))\n"
    with stand_in(ASKED + steps + "answer(); owner.recv()", 4) as shard:
        assert only(shard) == ANSWER


def test_a_shard_that_hangs_does_not_keep_the_others_from_answering():
    with ExitStack() as stack:
        ways = enumerate([(WELL, 600), (SILENT, 1), (WELL, 600)])
        shards = [stack.enter_context(stand_in(code, limit, i)) for i, (code, limit) in ways]
        found = dict(answers([(shard, REQUESTS) for shard in shards]))
    assert [found[shards[i]] for i in (0, 2)] == [ANSWER, ANSWER]
    assert isinstance(found[shards[1]], ShardError)


def test_the_log_tells_how_many_responses_are_finished(monkeypatch, caplog):
    monkeypatch.setattr(shard_module, "_LOG_EVERY_S", 0.0)
    caplog.set_level(logging.INFO)
    with stand_in(ASKED + "owner.send(('progress', 3)); time.sleep(0.1); answer(); owner.recv()", 600) as shard:
        assert only(shard) == ANSWER
    assert "vLLM: 3 of 4 responses, shards at work: 1 of 1" in caplog.text


def test_an_engine_that_is_not_up_in_time_is_one_line(monkeypatch):
    monkeypatch.setattr(shard_module, "_START", 0.5)
    with (
        pytest.raises(UserError, match=r"vLLM shard 0: not up after 0\.5 s"),
        stand_in("import time; time.sleep(600)", 600),
    ):
        pass


def test_a_process_that_cannot_be_killed_is_left_with_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(shard_module, "_END", 0.5)
    with stand_in(UP + "time.sleep(600)", 600) as shard:
        with monkeypatch.context() as m:
            m.setattr(os, "killpg", lambda *_: None)
            shard.close()
        os.killpg(shard.process.pid, signal.SIGKILL)
    assert f"process {shard.process.pid} does not end" in caplog.text
    assert shard.process.wait() == -signal.SIGKILL


def test_each_shard_has_gpus_of_its_own(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [own_devices(i, 2, "systems.vllm") for i in (0, 1)] == [["0", "1"], ["2", "3"]]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    assert own_devices(0, 2, "systems.vllm") == ["4", "6"]
    with pytest.raises(UserError, match=r"systems\.vllm: shard 2 of 2 GPUs each needs more than the 3 in CUDA_VIS"):
        own_devices(1, 2, "systems.vllm")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match="needs more than the 0 in CUDA_VISIBLE_DEVICES"):
        own_devices(0, 1, "systems.vllm")
