"""`systems`: how fast and where, never what.  No value here may change a result, so none is a DVC param."""

from pydantic import Field

from tokenspectrum.params.base import Frozen


class SystemsParams(Frozen):
    """Recorded as provenance with every stage; changing any of it reruns nothing."""

    threads: int = Field(ge=1, description="intra-op threads of a stage; two one-thread stages beat one of two threads")
    micro_batch: int = Field(ge=1, description="sequences in one forward or backward pass")
    generate_batch: int = Field(ge=1, description="sequences that the rollout engine decodes at once")
    checkpoint_every: int = Field(ge=1, description="training steps between two resumable checkpoints")
    tensorboard: bool = Field(description="write TensorBoard events to logs/train/<run>-s<seed>/")
