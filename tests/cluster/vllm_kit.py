"""A small policy that vLLM takes on a CPU: heads of 32, and so few tokens that many responses end by themselves."""

import sys
from pathlib import Path

import torch

# Also for the processes that a test starts with this module.
sys.path.append(str(Path(__file__).resolve().parents[1]))
from kit.policy import write_boxes

from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.types import Response
from tokenspectrum.systems.params import VllmSystems

SYSTEMS = {"device": "cpu", "tensor_parallel": 1, "gpu_memory_utilization": 0.12, "stall_timeout": 120}


def systems(shards: int = 1, **changes: float) -> VllmSystems:
    return VllmSystems(**SYSTEMS | {"shards": shards} | changes)


def write_policy(path: Path, seed: int = 0) -> Path:
    """The policy of `boxes`, its logits far from flat."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 32}
    return write_boxes(path, seed, max_position_embeddings=128, initializer_range=0.15, **sizes)


@torch.inference_mode()
def logprobs_of(path: Path, responses: list[Response]) -> list[torch.Tensor]:
    """Full-vocabulary log-probabilities (T, V) of each response's positions, by the transformers model unpadded."""
    model, _ = load_policy(path)
    found = []
    for response in responses:
        ids_1T = torch.tensor([[*response.prompt_token_ids, *response.token_ids]])
        found.append(model(ids_1T).logits[0, len(response.prompt_token_ids) - 1 : -1].double().log_softmax(-1))
    return found
