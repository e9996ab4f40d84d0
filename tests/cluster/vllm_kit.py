"""A small policy that vLLM takes on a CPU: heads of 32, and so few tokens that many responses end by themselves."""

import sys
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

sys.path.insert(0, str(Path(__file__).parents[1] / "rollout"))

import rollout_kit as kit

from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.save import save_policy
from tokenspectrum.rollout.types import Response
from tokenspectrum.systems.params import VllmSystems

SYSTEMS = {"device": "cpu", "tensor_parallel": 1, "gpu_memory_utilization": 0.12, "stall_timeout": 120}


def systems(shards: int = 1, **changes: float) -> VllmSystems:
    return VllmSystems(**SYSTEMS | {"shards": shards} | changes)


def write_policy(path: Path, seed: int = 0) -> Path:
    """A Qwen3 of random weights, its logits far from flat."""
    tokenizer = kit.make_tokenizer()
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=128,
        initializer_range=0.15,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    save_policy(Qwen3ForCausalLM(config), tokenizer, path)
    return path


@torch.inference_mode()
def logprobs_of(path: Path, responses: list[Response]) -> list[torch.Tensor]:
    """Full-vocabulary log-probabilities (T, V) of each response's positions, by the transformers model unpadded."""
    model, _ = load_policy(path)
    found = []
    for response in responses:
        ids_1T = torch.tensor([[*response.prompt_token_ids, *response.token_ids]])
        found.append(model(ids_1T).logits[0, len(response.prompt_token_ids) - 1 : -1].double().log_softmax(-1))
    return found
