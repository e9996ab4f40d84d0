"""verl's actor worker, with three more operations: export the policy, checksums of a checkpoint, placement.

Runs on every rank.  Knows verl's engine and files.  Knows no rollouts and no rules.
"""

import os
from pathlib import Path

import ray
import torch
from safetensors.torch import save_file

# Imported for its registration: this class reaches every worker, and the engine must be known before it is chosen.
import tokenspectrum.training.backends.verl.engine  # noqa: F401
from tokenspectrum.tokenlog.writer import sha256
from tokenspectrum.training.backends.verl.internals import ActorRolloutRefWorker, Dispatch, register


class PolicyWorker(ActorRolloutRefWorker):
    """verl's worker of actor and rollout on one rank."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def export_policy(self, path: str, dtype: str) -> None:
        """Gather the weights on rank 0 and write them to the safetensors file `path`, tied ones once."""
        config = self.actor.engine.module.config
        tied = {"lm_head.weight"} if getattr(config, "tie_word_embeddings", False) else set()
        tensors = {}
        # Every rank takes part in gathering each tensor; rank 0 alone keeps it.
        for name, value in self.actor.engine.get_per_tensor_param()[0]:
            if self.rank == 0 and name not in tied:
                tensors[name] = value.detach().to("cpu", getattr(torch, dtype)).contiguous().clone()
        if self.rank == 0:
            save_file(tensors, path, metadata={"format": "pt"})
        torch.distributed.barrier()

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def checksums(self, folder: str) -> dict[str, str]:
        """sha256 of the files in `folder` that are this rank's: its own shards, and rank 0's also the others."""
        own = f"_rank_{self.rank}.pt"
        found = {}
        for file in sorted(Path(folder).rglob("*")):
            sharded = "_world_size_" in file.name
            if file.is_file() and (file.name.endswith(own) if sharded else self.rank == 0):
                found[file.relative_to(folder).as_posix()] = sha256(file)
        return found

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def update_logprobs(self) -> dict[int, torch.Tensor]:
        """Log-probabilities that this rank's last update was made of, by response."""
        return self.actor.engine.update_logprobs

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def placement(self) -> dict[str, str | int]:
        """Where this rank runs."""
        return {
            "rank": self.rank,
            "node": ray.get_runtime_context().get_node_id(),
            "address": ray.util.get_node_ip_address(),
            "pid": os.getpid(),
        }
