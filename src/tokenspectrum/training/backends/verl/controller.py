"""verl's synchronous trainer as a set of plain operations: sample, measure, update, hand over weights, save.

The workers, FSDP2, vLLM and the exchange of weights are verl's own.  The loop over steps is ours (training/loop.py).  A
rule weighs the whole rollout batch, so the driver must see all of it before the first update.  Knows
verl's worker group and servers.  Knows no rules and no tables.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

import ray
from omegaconf import DictConfig
from transformers import PreTrainedTokenizerBase

from tokenspectrum.counter import stream_key
from tokenspectrum.errors import UserError
from tokenspectrum.reward.rewarded import Rewarded
from tokenspectrum.rollout.questions import Question
from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.training.backends.verl.batch import measure_info, measure_rows, update_info, update_rows
from tokenspectrum.training.backends.verl.internals import PPOTrainerSync, non_tensor, tensordict_utils
from tokenspectrum.training.backends.verl.record import logprobs_of, row_field, scores_of, updated_of
from tokenspectrum.training.backends.verl.request import REQUEST, ROW_TOKENS, UPDATE, AttentionRequest, UpdateRequest
from tokenspectrum.training.backends.verl.reward import reward_batch, rewards_of
from tokenspectrum.training.backends.verl.worker import PolicyWorker
from tokenspectrum.training.dapo import Clip
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import MiniBatch, Updated

_ANSWER_S = 20.0  # seconds that a server may take to answer a question
_TRIES = 2  # of one request; after that the run stops and names it


def request_seed(seed: int, step: int, prompt_id: str, sample: int) -> int:
    """Seed of one request to vLLM.  It depends only on the request's purpose, so the log is enough to find it again."""
    return stream_key("vllm", seed, step, prompt_id, sample) >> 1


class VerlTrainer(PPOTrainerSync):
    """verl's trainer without its own loop, data loader, replay buffer and checkpoint folder: all four are ours."""

    def __init__(
        self, config: DictConfig, job: TrainJob, tokenizer: PreTrainedTokenizerBase, stop: frozenset[int]
    ) -> None:
        self.job, self.tokenizer, self.stop = job, tokenizer, stop
        super().__init__(config)

    # verl's set-up calls these.  They replace parts that this trainer does not use.
    def _build_replay_buffer(self) -> None:
        return None

    def _init_tokenizer(self) -> None:
        self.processor = None

    def _init_dataloader(self) -> None:
        self.total_training_steps = self.job.train.steps

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()
        self.role_worker_mapping = {role: ray.remote(PolicyWorker) for role in self.role_worker_mapping}

    def _load_checkpoint(self) -> None:
        self.global_steps = 0

    def on_init_end(self) -> None:
        """Do nothing: vLLM gets the weights later, after a checkpoint was read."""

    @property
    def ranks(self) -> int:
        """Data-parallel ranks of the actor."""
        return self.job.systems.verl.world_size

    # Operations.
    def hand_over(self, step: int) -> None:
        """Give vLLM the actor's weights, and wake it."""
        self.checkpoint_manager.update_weights(step)

    def rest(self) -> None:
        """Let vLLM free its memory for the actor."""
        self.checkpoint_manager.sleep_replicas()

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, step: int, beat: Callable[[], None]
    ) -> list[Response]:
        """Responses prompt-major, each sampled with its own seed.  An error names a request that fails twice.

        `beat` is called for each response.
        """

        async def sample(prompt: Prompt, i: int) -> Response:
            response = await self._sample(client, prompt, i, sampling, step)
            beat()
            return response

        async def everything() -> list[Response]:
            return await asyncio.gather(*(sample(prompt, i) for prompt in prompts for i in range(sampling.n)))

        client = self.get_llm_client()
        return asyncio.run(everything())

    async def _sample(self, client: Any, prompt: Prompt, sample: int, sampling: Sampling, step: int) -> Response:
        seed = request_seed(self.job.seed, step, prompt.prompt_id, sample)
        asked = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": -1,
            "max_tokens": sampling.max_tokens,
            "seed": seed,
            "logprobs": True,
            "stop_token_ids": sorted(self.stop),
        }
        failed = ""
        for _ in range(_TRIES):
            try:
                # vLLM's server changes the dictionary, so every try needs its own.
                out = await client.generate(
                    f"{prompt.prompt_id}-{sample}", prompt_ids=list(prompt.token_ids), sampling_params=dict(asked)
                )
            except ray.exceptions.RayActorError:
                raise
            except ray.exceptions.RayError as e:
                failed = str(e).splitlines()[-1]
                continue
            if out.stop_reason != "aborted" and out.token_ids:
                ids = tuple(out.token_ids)
                return Response(
                    prompt_id=prompt.prompt_id,
                    sample=sample,
                    prompt_token_ids=prompt.token_ids,
                    token_ids=ids,
                    logprobs=tuple(out.log_probs),
                    finish_reason="stop" if ids[-1] in self.stop else "length",
                )
            failed = "it was aborted"
        raise UserError(f"step {step}: vLLM did not answer prompt {prompt.prompt_id}, sample {sample}: {failed}")

    def reward(self, questions: Sequence[Question], responses: Sequence[Response]) -> list[Rewarded]:
        """The rewards of the responses, computed by verl's reward workers."""
        return rewards_of(self.reward_loop_manager.compute_rm_score(reward_batch(questions, responses)))

    def measure(
        self,
        responses: Sequence[Response],
        request: AttentionRequest | None,
        row_tokens: Sequence[tuple[int, int]] = (),
    ) -> Statistics:
        """Log-probability, predictive entropy and attention statistics under the actor as it is now."""
        rows = measure_rows(responses, self.ranks)
        info = measure_info()
        if request is not None:
            info[REQUEST] = request
        if row_tokens:
            rows.fields[ROW_TOKENS] = row_field(rows, row_tokens)
        answer = self.actor_rollout_wg.compute_log_prob(tensordict_utils.get_tensordict(rows.fields, info))
        return scores_of(
            answer,
            rows,
            responses,
            request,
            row_tokens,
            vocabulary=len(self.tokenizer),
            dtype=self.job.train.dtype,
        )

    def update(self, batch: MiniBatch, lr: float) -> Updated:
        """One optimiser step on one mini-batch; no step if D = 0."""
        asked = self.job.train.clip
        clip = Clip(asked.low, asked.high, asked.dual)
        rows = update_rows(batch, self.ranks)
        if rows is None:
            return updated_of(batch, clip, self.measure(batch.responses, None).logprob_N, 0.0, None)
        info = update_info(rows) | {UPDATE: UpdateRequest(lr)}
        answer = self.actor_rollout_wg.update_actor(tensordict_utils.get_tensordict(rows.fields, info))
        metrics = non_tensor(answer, "metrics")
        logprob_N = logprobs_of(self.actor_rollout_wg.update_logprobs())
        return updated_of(batch, clip, logprob_N, float(metrics["loss"][0]), float(metrics["grad_norm"][0]))

    def placement(self) -> dict[str, list[dict[str, Any]]]:
        """Node, address and process of every actor worker and of every vLLM server."""
        servers = ray.get([server.__ray_call__.remote(_where) for server in self._servers()])
        return {"actors": list(self.actor_rollout_wg.placement()), "servers": servers}

    def dead(self) -> str | None:
        """Which vLLM has died; None if all are alive.  Any thread may ask, even while others wait."""
        try:
            dead = ray.get([server.__ray_call__.remote(_died) for server in self._servers()], timeout=_ANSWER_S)
        except ray.exceptions.GetTimeoutError:
            return None  # it is busy; the watchdog notices if it stays so
        except ray.exceptions.RayError as e:
            return f"a vLLM server died: {' '.join(str(e).split())[:200]}"
        return next((f"vLLM's engine on {where} died" for where in dead if where), None)

    def _servers(self) -> list[Any]:
        return [server for replica in self.llm_server_manager.get_replicas() for server in replica.servers]


def _where(server: Any) -> dict[str, Any]:
    return {
        "replica": server.replica_rank,
        "node": ray.get_runtime_context().get_node_id(),
        "address": ray.util.get_node_ip_address(),
        "pid": os.getpid(),
    }


def _died(server: Any) -> str | None:
    """The address of a server if its engine, which is a process of its own, is gone."""
    engine = getattr(server, "engine", None)
    return ray.util.get_node_ip_address() if engine is not None and engine.errored else None
