"""How much memory a GPU needs under verl: in the update, and while vLLM samples.  The two never run at the same time.

Every figure is bytes: a formula of the policy's sizes and of params.  Nothing is measured.  The attention entropies of
the scoring pass are left out: they are computed in blocks of a few hundred MB.  Knows no file and no table.
"""

import math
from dataclasses import dataclass

from tokenspectrum.errors import UserError
from tokenspectrum.params.policy import HubShape
from tokenspectrum.params.train import TrainParams
from tokenspectrum.policy.shape import layer_weights, outer_weights, weights
from tokenspectrum.systems.params import VerlSystems

GIB = 2**30
BYTES = {"float32": 4, "bfloat16": 2}
# Bytes for the CUDA context, allocator slack and communication buffers of a process.  This is an assumption.
PROCESS = 2 * GIB
# vLLM's own activations and CUDA graphs, and the bucket in which new weights arrive: an assumption and verl's default.
VLLM_WORK, SYNC_BUCKET = 2 * GIB, 2 * GIB


@dataclass(frozen=True)
class Part:
    """One thing that takes memory, and the formula in words."""

    what: str
    size: float
    how: str


@dataclass(frozen=True)
class Phase:
    """What is in a GPU's memory at one time."""

    name: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> float:
        return sum(part.size for part in self.parts)

    @property
    def largest(self) -> Part:
        return max(self.parts, key=lambda part: part.size)


def update_phase(train: TrainParams, verl: VerlSystems, shape: HubShape, layers: int) -> Phase:
    """One optimiser step on the fullest GPU: FSDP2 shards everything over all GPUs and gathers layer by layer."""
    count, world, width = weights(shape, layers), verl.world_size, BYTES[train.dtype]
    tokens = verl.max_tokens_per_gpu
    layer, outer = layer_weights(shape), outer_weights(shape)
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    # Values that the backward pass of one layer needs: norms, q, k and v before and after norm and rotation, MLP.
    kept = 6 * shape.hidden + 4 * query + 6 * key + 4 * shape.intermediate
    if verl.gradient_checkpointing:
        activations = tokens * width * (layers * shape.hidden + kept)
        how = "tokens x (layers x hidden + one layer's inputs)"
    else:
        activations = tokens * width * layers * kept
        how = "tokens x layers x a layer's inputs"
    return Phase(
        "update",
        (
            Part("weights, float32 shard", 4 * count / world, "4 bytes x weights / GPUs"),
            Part("gradients, float32 shard", 4 * count / world, "4 bytes x weights / GPUs"),
            Part("AdamW's two moments", 8 * count / world, "8 bytes x weights / GPUs"),
            Part(
                "gathered weights and gradients",
                (outer + 2 * layer) * 2 * width + max(outer, layer) * 4,
                f"embedding, output and two layers in {train.dtype}, twice; the largest gradient in float32",
            ),
            Part(f"activations of {tokens:,} tokens", activations, how),
            Part(
                f"logits of {tokens:,} tokens",
                tokens * shape.vocabulary * (2 * width + 4),
                f"logits and their gradient in {train.dtype}, a float32 copy for the log-probabilities",
            ),
            Part("process", PROCESS, "CUDA context and buffers: assumed"),
        ),
    )


def sampling_phase(train: TrainParams, verl: VerlSystems, shape: HubShape, layers: int, gpu_bytes: float) -> Phase:
    """vLLM while it samples, and what verl keeps in memory beside it."""
    count = weights(shape, layers)
    left = 0 if verl.offload else 12 * count / verl.world_size
    return Phase(
        "sampling",
        (
            Part("vLLM", verl.gpu_memory_utilization * gpu_bytes, "gpu_memory_utilization x the GPU's memory"),
            Part("weights and moments beside it", left, "none with offload; else 12 bytes x weights / GPUs"),
            Part("bucket of new weights", SYNC_BUCKET, "verl's default"),
            Part("process", PROCESS, "CUDA context and buffers: assumed"),
        ),
    )


@dataclass(frozen=True)
class CacheRoom:
    """What one vLLM replica has for keys and values."""

    room: float  # bytes on each of its GPUs
    token: float  # bytes a token takes on each
    longest: int  # tokens of the longest context

    @property
    def sequences(self) -> float:
        """How many of the longest contexts fit at once."""
        return max(0.0, self.room) / (self.token * self.longest)


def cache_room(
    dtype: str,
    utilization: float,
    tensor_parallel: int,
    shape: HubShape,
    layers: int,
    longest: int,
    gpu_bytes: float,
) -> CacheRoom:
    """The room for keys and values: vLLM's share of a GPU without its weights and its own work."""
    check_heads(shape, tensor_parallel)
    width = BYTES[dtype]
    # If there are more ranks than key heads, some ranks hold copies.
    heads = math.ceil(shape.kv_heads / tensor_parallel)
    return CacheRoom(
        room=utilization * gpu_bytes - weights(shape, layers) * width / tensor_parallel - VLLM_WORK,
        token=2 * layers * heads * shape.head_dim * width,
        longest=longest,
    )


def check_heads(shape: HubShape, tensor_parallel: int) -> None:
    """Check that heads divide among the GPUs of a replica, because vLLM splits only between heads."""
    if shape.heads % tensor_parallel:
        raise UserError(f"tensor_parallel: {tensor_parallel} does not divide the policy's {shape.heads} query heads")
    if shape.kv_heads % tensor_parallel and tensor_parallel % shape.kv_heads:
        raise UserError(f"tensor_parallel: {tensor_parallel} does not fit the policy's {shape.kv_heads} key heads")


def host_bytes(verl: VerlSystems, shape: HubShape, layers: int) -> float:
    """Bytes of each node's own memory that offloaded weights and moments take."""
    return 12 * weights(shape, layers) / verl.nodes if verl.offload else 0.0


def most_tokens(train: TrainParams, verl: VerlSystems, shape: HubShape, layers: int, gpu_bytes: float) -> int:
    """The largest max_tokens_per_gpu with which the update fits; 0 if none does."""

    def size(tokens: int) -> float:
        return update_phase(train, verl.model_copy(update={"max_tokens_per_gpu": tokens}), shape, layers).size

    a_token = size(1) - size(0)
    return max(0, int((gpu_bytes - size(0)) / a_token))
