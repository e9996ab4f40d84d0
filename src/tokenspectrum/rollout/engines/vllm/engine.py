"""Rollout engine on vLLM: it samples from the policy in a folder, one process a shard.  See `RolloutEngine`.

Every response is a request of its own.  Its seed is a hash of (domain, seed, step, prompt_id, sample).  So the shard
and the other requests on it change a response by float noise only.  A request that is lost, fails or gets no answer is
sent once more, prompt by prompt, to a fresh shard.  If it fails again, the error names its prompt.  Knows nothing of
rewards, tables or training.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Self

from tokenspectrum.counter import stream_key
from tokenspectrum.errors import UserError
from tokenspectrum.policy.config import read_config
from tokenspectrum.policy.load import check_vocab, load_tokenizer
from tokenspectrum.rollout.engines.vllm.shard import EngineOptions, Request, Sampled, environment
from tokenspectrum.rollout.stop import stop_ids_in
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.systems.params import VllmSystems
from tokenspectrum.systems.shard import Program, Shard, ShardError, answers, own_devices

log = logging.getLogger(__name__)
_SECTION = "systems.vllm"
_CODE = "from tokenspectrum.rollout.engines.vllm.shard import main; main()"


class VllmEngine:
    """Samples from the policy in a folder, which does not change.  A context manager: leaving it ends the processes."""

    def __init__(
        self, policy: Path, systems: VllmSystems, *, dtype: str, max_tokens: int, max_sequences: int = 256
    ) -> None:
        """`max_tokens`: limit of prompt plus response; `max_sequences`: responses that a shard decodes at once."""
        config = read_config(policy)
        tokenizer = load_tokenizer(policy)
        check_vocab(policy, config.get("vocab_size"), tokenizer)
        positions = config.get("max_position_embeddings")
        if positions is not None and max_tokens > positions:
            raise UserError(
                f"sampling: {max_tokens} tokens of prompt and response, but the policy has {positions} positions; "
                "lower max_prompt_tokens or max_response_tokens"
            )
        self.stop = stop_ids_in(policy, tokenizer)
        options = EngineOptions(
            str(policy),
            systems.device,
            dtype,
            systems.tensor_parallel,
            systems.gpu_memory_utilization,
            max_tokens,
            max_sequences,
            systems.stall_timeout,
        )
        self.program = program_of(options)
        self.shards: list[Shard] = []
        try:
            for i in range(systems.shards):
                self.shards.append(Shard(i, self.program))
            for shard in self.shards:
                shard.ready()
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
        """Responses prompt-major.  Shards get prompts in turn.  After a UserError the engine cannot be used again."""
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
                heat=None if sampling.heat is None else astuple(sampling.heat),
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
        """The responses that came back, by key.  A shard that failed is replaced."""
        count = len(self.shards)
        dealt = [(shard, [r for r in requests if r.key // n % count == shard.index]) for shard in self.shards]
        found: dict[int, Sampled] = {}
        fresh = []
        for shard, answer in answers([(shard, part) for shard, part in dealt if part]):
            if isinstance(answer, ShardError):
                log.warning("vLLM shard %d: %s; its requests are sent once more", shard.index, answer)
                shard.close()
                self.shards[shard.index] = Shard(shard.index, self.program)
                fresh.append(self.shards[shard.index])
            else:
                found |= _whole(answer)
        for shard in fresh:  # not earlier, because the other shards must be read while these start
            shard.ready()
        return found

    def _second_try(self, prompt: Prompt, requests: list[Request]) -> dict[int, Sampled]:
        """Sample the lost responses of one prompt again.  If they fail again, a UserError names the prompt."""
        [(shard, answer)] = answers([(self.shards[0], requests)])
        if isinstance(answer, ShardError):
            shard.close()  # a late answer would be taken for the answer to another request
            raise UserError(f"prompt {prompt.prompt_id}: vLLM failed twice to answer it: {answer}")
        found = _whole(answer)
        if len(found) < len(requests):
            raise UserError(f"prompt {prompt.prompt_id}: vLLM ended its responses twice before they were whole")
        return found


def program_of(options: EngineOptions) -> Program:
    """What a shard runs: shard.py's main, with GPUs of its own where there are any."""

    def variables(index: int) -> Mapping[str, str]:
        cuda = options.device == "cuda"
        return environment(options, own_devices(index, options.tensor_parallel, _SECTION) if cuda else [])

    return Program("vLLM", _SECTION, _CODE, options, options.stall_timeout, variables)


def _whole(sampled: Sequence[Sampled]) -> dict[int, Sampled]:
    """By key, the responses that ended normally.  vLLM reports another reason for one that it gave up."""
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
