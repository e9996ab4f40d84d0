"""One rank of verl's actor in a plain process group: python equivalence_worker.py STORED OUT, with RANK etc. set.

verl's own worker, FSDP2 engine and loss under the configuration that our params give, without Ray and vLLM.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from equivalence_kit import CASES, LAYER, PACKED, Case, Moved, Stored, Update, play
from torch.distributed.tensor import DTensor, distribute_tensor
from verl.utils import tensordict_utils as tu
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import TrainingWorkerConfig
from verl.workers.engine_workers import TrainingWorker
from verl.workers.utils.losses import ppo_loss

from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.backends.verl.batch import Rows, measure_info, measure_rows, update_info, update_rows
from tokenspectrum.training.backends.verl.config import VerlFiles, resolve, verl_config
from tokenspectrum.training.backends.verl.record import logprobs_of, scores_of, updated_of
from tokenspectrum.training.backends.verl.request import REQUEST, UPDATE, AttentionRequest, UpdateRequest, field_name
from tokenspectrum.training.dapo import Clip
from tokenspectrum.training.record import MiniBatch

torch.set_num_threads(1)


def make_worker(stored: Stored) -> TrainingWorker:
    """The actor as verl's ActorRolloutRefWorker.init_model makes it."""
    job = stored.job
    flat = verl_config(job, VerlFiles(Path("none"), Path("none"), job.policy, job.checkpoints))
    config = resolve(flat).actor_rollout_ref
    model = omega_conf_to_dataclass(config.model)
    actor = omega_conf_to_dataclass(config.actor)
    actor.model_config = model
    actor.engine.use_dynamic_bsz = actor.use_dynamic_bsz
    actor.engine.max_token_len_per_gpu = actor.ppo_max_token_len_per_gpu
    actor.engine.infer_max_token_len_per_gpu = config.rollout.log_prob_max_token_len_per_gpu
    worker = TrainingWorker(
        TrainingWorkerConfig(
            model_type="language_model",
            model_config=model,
            engine_config=actor.engine,
            optimizer_config=actor.optim,
            checkpoint_config=actor.checkpoint,
        )
    )
    worker.reset()
    worker.set_loss_fn(partial(ppo_loss, config=actor))
    return worker


def full(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a sharded tensor, a copy."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


class Actor:
    """verl's actor, called as the trainer's driver calls it, but that each rank takes its own rows of those sent."""

    def __init__(self, stored: Stored) -> None:
        self.stored, self.worker = stored, make_worker(stored)
        self.module = self.worker.engine.module
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        train = stored.job.train
        self.request = UpdateRequest(train.learning_rate)
        self.clip = Clip(train.clip.low, train.clip.high, train.clip.dual)
        self.gradient: dict[str, torch.Tensor] = {}
        step = self.worker.engine.optimizer_step

        def keep_gradient() -> Any:
            self.gradient = {name: full(p.grad) for name, p in self.module.named_parameters()}
            return step()

        self.worker.engine.optimizer_step = keep_gradient

    def load(self, policy: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, p in self.module.named_parameters():
                p.copy_(distribute_tensor(policy[name], p.device_mesh, p.placements))
        self.worker.engine.optimizer.state.clear()

    def measure(self, responses: list[Response], layer: int | None) -> Statistics:
        rows = measure_rows(responses, self.world)
        info, names, request = measure_info(), ["log_probs", "entropy"], None
        if layer is not None:
            request = info[REQUEST] = AttentionRequest((layer,), "decision", local_window=4)
            names += [field_name(layer, statistic.slot) for statistic in request.statistics]
        output = self.worker.infer_batch(self._mine(rows, info))
        parts: list[Any] = [None] * self.world
        dist.all_gather_object(parts, {name: list(output[name].unbind()) for name in names})
        answer = {
            name: torch.nested.as_nested_tensor([row for part in parts for row in part[name]], layout=torch.jagged)
            for name in names
        }
        vocabulary = self.module.config.vocab_size
        return scores_of(answer, rows, responses, request, (), vocabulary=vocabulary, dtype="float32")

    def play(self, case: Case, packed: bool = False) -> list[Moved]:
        self.load(self.stored.fresh if case.fresh else self.stored.stale)

        def update(batch: MiniBatch) -> Update | None:
            rows = update_rows(batch, self.world)
            if rows is None:
                return None
            info = update_info(rows) | {UPDATE: self.request, "use_remove_padding": packed}
            metrics = tu.get(self.worker.train_mini_batch(self._mine(rows, info)), "metrics")
            parts: list[Any] = [None] * self.world
            dist.all_gather_object(parts, self.worker.engine.update_logprobs)
            figures = float(metrics["loss"][0]), float(metrics["grad_norm"][0])
            done = updated_of(batch, self.clip, logprobs_of(parts), *figures)
            policy = {name: full(p) for name, p in self.module.named_parameters()}
            return done.loss, done.grad_norm, done.ratio_N, done.loss_N, self.gradient, policy

        return play(self.stored, case, self.measure, update)

    def _mine(self, rows: Rows, info: dict[str, Any]):
        return tu.chunk_tensordict(tu.get_tensordict(dict(rows.fields), info), self.world)[self.rank]


def main(stored_path: str, out: str) -> None:
    stored: Stored = torch.load(stored_path, weights_only=False)
    actor = Actor(stored)
    actor.load(stored.fresh)
    found: dict[str, Any] = {"scores": actor.measure(stored.rollouts.responses, LAYER)}
    found |= {case.name: actor.play(case) for case in CASES}
    found |= {f"{case.name}-packed": actor.play(case, packed=True) for case in PACKED}
    if actor.rank == 0:
        torch.save(found, out)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
