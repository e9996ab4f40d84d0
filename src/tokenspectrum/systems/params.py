"""`systems`: how fast and where, never what.  No value here may change a result, so none is a DVC param."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokenspectrum.params.base import Frozen

Fraction = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(gt=0)]


class VerlSystems(Frozen):
    """The machines that `train.trainer: verl` runs on.  cpu is a platform for tests and trials: a GPU is a process."""

    device: Literal["cuda", "cpu"] = Field(default="cpu", description="cuda, or cpu for tests and trials without a GPU")
    nodes: int = Field(default=1, ge=1, description="machines, one Ray node each")
    gpus_per_node: int = Field(
        default=1, ge=1, description="GPUs of each node; with device cpu, worker processes of each node"
    )
    tensor_parallel: int = Field(
        default=1, ge=1, description="GPUs that one vLLM replica spreads over; divides gpus_per_node"
    )
    gpu_memory_utilization: Fraction = Field(
        default=0.2, description="share of a GPU's memory that vLLM may take while sampling"
    )
    max_tokens_per_gpu: int = Field(
        default=8192,
        ge=1,
        description="tokens of one forward or backward pass on a GPU; the longest prompt and response must fit",
    )
    gradient_checkpointing: bool = Field(
        default=False, description="recompute activations in the backward pass: slower, less memory"
    )
    offload: bool = Field(
        default=False, description="keep weights and optimiser in the host's memory while vLLM samples"
    )
    ray_port: Annotated[int, Field(ge=1024, le=65535)] | None = Field(
        default=None, description="of Ray's head; null: a free one"
    )
    node_addresses: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None, description="an IP address for each node, for several nodes on one machine; null: each node's own"
    )
    start_timeout: Seconds = Field(
        default=300, description="seconds until Ray and all workers must be up, or the job ends"
    )
    stall_timeout: Seconds = Field(
        default=300, description="seconds without progress after which the watchdog ends the job"
    )

    @property
    def world_size(self) -> int:
        """GPUs, or worker processes, of all nodes."""
        return self.nodes * self.gpus_per_node

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.gpus_per_node % self.tensor_parallel:
            raise ValueError(
                f"tensor_parallel {self.tensor_parallel} does not divide gpus_per_node {self.gpus_per_node}"
            )
        if self.node_addresses is not None and len(self.node_addresses) != self.nodes:
            raise ValueError(f"node_addresses has {len(self.node_addresses)} addresses for {self.nodes} nodes")
        return self


class VllmSystems(Frozen):
    """The GPUs that `engine: vllm` of the sample and evaluate stages samples on."""

    device: Literal["cuda", "cpu"] = Field(default="cpu", description="cuda, or cpu for tests and trials without a GPU")
    tensor_parallel: int = Field(default=1, ge=1, description="GPUs that one shard spreads over")
    gpu_memory_utilization: Fraction = Field(
        default=0.2, description="share of the device's memory that a shard may take"
    )
    shards: int = Field(
        default=1, ge=1, description="engines side by side, a process each; prompts are dealt out among them"
    )
    stall_timeout: Seconds = Field(
        default=300,
        description="seconds without a step of a shard after which it is given up; longer than its longest step takes",
    )


class TrackerResponses(Frozen):
    """The table of sampled responses that the tracker gets now and then."""

    every: int = Field(default=10, ge=1, description="on steps 1, 1 + every, 1 + 2 every, ...")
    count: int = Field(default=8, ge=0, description="responses of such a step; 0: no table")


class SystemsParams(Frozen):
    """Recorded as provenance with every stage; changing any of it reruns nothing."""

    threads: int = Field(
        default=1, ge=1, description="intra-op threads of a stage; two one-thread stages beat one of two threads"
    )
    micro_batch: int = Field(default=64, ge=1, description="responses in one forward or backward pass")
    share_prompts: bool = Field(
        default=False,
        description="responses of a prompt go through scoring and gradients behind one copy of it, and prompts of a "
        "micro-batch, or of a batch that is sampled, behind one copy of a long common beginning: less work if prompts "
        "are long; for policies of full attention, trainer: local",
    )
    processes: int = Field(
        default=1,
        ge=1,
        description="processes that share the work of each stage that samples, scores, trains or takes gradients, but "
        "not that of vLLM and verl; each holds a batch of its own; above 1 where threads is 1 and device cpu",
    )
    generate_batch: int = Field(
        default=1024,
        ge=1,
        description="most sequences that the rollout engine decodes at once; about as many are kept as a part",
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="where the tokens stage and engine: transformers run; trainer: local is on the CPU"
    )
    checkpoint_every: int = Field(default=10, ge=1, description="training steps between two resumable checkpoints")
    tracker: Literal["tensorboard", "wandb", "trackio", "none"] = Field(
        default="tensorboard",
        description="where metrics go step by step, in the log folder; wandb and trackio are extras",
    )
    tracker_responses: TrackerResponses = TrackerResponses()
    verl: VerlSystems | None = Field(
        default=VerlSystems(), description="for train.trainer: verl; null if it is never used here"
    )
    vllm: VllmSystems | None = Field(
        default=VllmSystems(), description="for engine: vllm; null if it is never used here"
    )

    @model_validator(mode="after")
    def _forks(self) -> Self:
        if self.processes > 1 and (self.threads > 1 or self.device != "cpu"):
            raise ValueError("processes above 1 wants threads: 1 and device: cpu; on a GPU raise micro_batch")
        return self
