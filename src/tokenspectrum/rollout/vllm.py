"""Rollout engine on vLLM: the policy of a folder, sampled by one process a shard.  See `RolloutEngine`.

Every response is a request of its own, whose seed is a hash of (domain, seed, step, prompt_id, sample): which shard
answers, and beside what, changes it by float noise only.  Requests that a shard loses or fails are sent once more,
prompt by prompt, to a fresh one; what fails again is named.  Knows nothing of rewards, tables or training.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self

from transformers import GenerationConfig

from tokenspectrum.counter import stream_key
from tokenspectrum.errors import UserError
from tokenspectrum.params.systems import VllmSystems
from tokenspectrum.policy.load import check_vocab, load_tokenizer, read_config
from tokenspectrum.rollout.transformers import stop_ids
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.rollout.vllm_shard import EngineOptions, Request, Sampled, environment

log = logging.getLogger(__name__)
# Seconds until an engine must be up: loading a large policy takes minutes, an engine that cannot start says so at once.
_START = 1800
# Not -m: what a module run as __main__ pickles is not what this process unpickles.
_MAIN = "from tokenspectrum.rollout.vllm_shard import main; main()"


class ShardError(Exception):
    """A shard died or failed; the message is its last word."""


class _Shard:
    """The owner's end of one engine process."""

    def __init__(self, index: int, options: EngineOptions) -> None:
        self.index = index
        width = options.tensor_parallel
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        listed = visible.split(",") if visible else [str(i) for i in range((index + 1) * width)]
        devices = listed[index * width : (index + 1) * width]
        if options.device == "cuda" and len(devices) < width:
            raise UserError(
                f"systems.vllm: shard {index + 1} of {width} GPUs each needs more than the {len(listed)} in "
                "CUDA_VISIBLE_DEVICES; lower shards or tensor_parallel"
            )
        mine, other = socket.socketpair()
        with other:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, str(other.fileno()), str(os.getpid())],
                pass_fds=[other.fileno()],
                env={**os.environ, **environment(options, devices)},
                # A group of its own: what vLLM starts ends with it.
                start_new_session=True,
                # vLLM talks much; what it says goes where the stage's own words go.
                stdout=sys.stderr if _has_fd(sys.stderr) else None,
            )
        self.connection = Connection(mine.detach())
        self.connection.send(options)

    def reply(self, word: str) -> Any:
        """What comes with the next message, which must be `word`; ShardError otherwise."""
        try:
            said, what = self.connection.recv()
        except (EOFError, ConnectionError):
            code = self.process.wait()
            raise ShardError(f"its process ended with {_exit_words(code)}") from None
        if said != word:
            raise ShardError(" ".join(str(what).split())[:500])
        return what

    def close(self) -> None:
        """End the process and all that it started."""
        self.connection.close()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _has_fd(stream: Any) -> bool:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True


def _exit_words(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class VllmEngine:
    """Samples from the policy in a folder, which does not change.  A context manager: leaving it ends the processes."""

    def __init__(
        self, policy: Path, systems: VllmSystems, *, dtype: str, max_tokens: int, max_sequences: int = 256
    ) -> None:
        """`max_tokens`: of prompt and response together; `max_sequences`: responses that a shard decodes at once."""
        config = read_config(policy)
        tokenizer = load_tokenizer(policy)
        check_vocab(policy, config.get("vocab_size"), tokenizer)
        positions = config.get("max_position_embeddings")
        if positions is not None and max_tokens > positions:
            raise UserError(
                f"sampling: {max_tokens} tokens of prompt and response, but the policy has {positions} positions; "
                "lower max_prompt_tokens or max_response_tokens"
            )
        generation = None
        if (policy / "generation_config.json").is_file():
            generation = GenerationConfig.from_pretrained(policy)
        self.stop = stop_ids(SimpleNamespace(generation_config=generation), tokenizer)
        self.options = EngineOptions(
            str(policy),
            systems.device,
            dtype,
            systems.tensor_parallel,
            systems.gpu_memory_utilization,
            max_tokens,
            max_sequences,
        )
        self.shards: list[_Shard] = []
        try:
            for i in range(systems.shards):
                self.shards.append(_Shard(i, self.options))
            for shard in self.shards:
                self._ready(shard)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all shards."""
        for shard in self.shards:
            shard.close()
        self.shards = []

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seed: int, step: int, domain: str = "sample"
    ) -> list[Response]:
        """Responses prompt-major; prompts are dealt out among the shards in turn."""
        if empty := [p.prompt_id for p in prompts if not p.token_ids]:
            raise UserError(f"prompt {empty[0]}: no tokens; drop it or check the chat template")
        requests = [
            Request(
                key=p * sampling.n + i,
                token_ids=prompt.token_ids,
                # vLLM's seeds are signed.
                seed=stream_key(domain, seed, step, prompt.prompt_id, i) >> 1,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                stop=tuple(sorted(self.stop)),
            )
            for p, prompt in enumerate(prompts)
            for i in range(sampling.n)
        ]
        found = self._first_try(requests, sampling.n)
        lost = [request for request in requests if request.key not in found]
        for p in dict.fromkeys(request.key // sampling.n for request in lost):
            again = [request for request in lost if request.key // sampling.n == p]
            found |= self._second_try(prompts[p], again)
        return [_response(found[r.key], prompts[r.key // sampling.n], r.key % sampling.n) for r in requests]

    def _first_try(self, requests: Sequence[Request], n: int) -> dict[int, Sampled]:
        """What came back by key; a shard that failed has been replaced."""
        count = len(self.shards)
        dealt = [[r for r in requests if r.key // n % count == shard.index] for shard in self.shards]
        waiting = {}
        for shard, part in zip(self.shards, dealt, strict=True):
            if part:
                with suppress(BrokenPipeError):  # its end is noticed below
                    shard.connection.send(part)
                waiting[shard.connection] = shard
        found: dict[int, Sampled] = {}
        while waiting:
            for connection in wait(list(waiting)):
                shard = waiting.pop(connection)
                try:
                    found |= _whole(shard.reply("sampled"))
                except ShardError as e:
                    log.warning("vLLM shard %d: %s; its requests are sent once more", shard.index, e)
                    self._replace(shard)
        return found

    def _second_try(self, prompt: Prompt, requests: list[Request]) -> dict[int, Sampled]:
        """The lost responses of one prompt; a UserError names the prompt if they fail again."""
        shard = self.shards[0]
        try:
            shard.connection.send(requests)
            found = _whole(shard.reply("sampled"))
        except (ShardError, BrokenPipeError) as e:
            raise UserError(f"prompt {prompt.prompt_id}: vLLM failed twice to answer it: {e}") from None
        if len(found) < len(requests):
            raise UserError(f"prompt {prompt.prompt_id}: vLLM ended its responses twice before they were whole")
        return found

    def _replace(self, shard: _Shard) -> None:
        shard.close()
        self.shards[shard.index] = _Shard(shard.index, self.options)
        self._ready(self.shards[shard.index])

    def _ready(self, shard: _Shard) -> None:
        if not shard.connection.poll(_START):
            raise UserError(f"vLLM shard {shard.index}: not up after {_START} s; its log is above")
        try:
            shard.reply("ready")
        except ShardError as e:
            raise UserError(f"vLLM shard {shard.index} does not start: {e}") from None


def _whole(sampled: Sequence[Sampled]) -> dict[int, Sampled]:
    """By key, those that ended as a response ends; vLLM has other words for one that it gave up."""
    return {s.key: s for s in sampled if s.finish_reason in ("stop", "length") and s.token_ids}


def _response(sampled: Sampled, prompt: Prompt, sample: int) -> Response:
    return Response(
        prompt_id=prompt.prompt_id,
        sample=sample,
        prompt_token_ids=prompt.token_ids,
        token_ids=sampled.token_ids,
        logprobs=sampled.logprobs,
        finish_reason="stop" if sampled.finish_reason == "stop" else "length",
    )
