"""`rollouts`: the probe of the base policy, on which rules are resolved and shown before any training."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokenspectrum.params.base import Frozen


class RolloutsParams(Frozen):
    """Which training prompts the base policy answers (sampling.n times each), and under which seed."""

    engine: Literal["transformers", "vllm"] = Field(
        default="transformers", description="what samples; the base policy's probe alone"
    )
    prompts: int = Field(default=64, ge=1, description="training prompts in the probe; all of them if there are fewer")
    choose: Literal["hash", "first"] = Field(
        default="hash", description="by a hash of prompt and seed, or the first in the file"
    )
    seed: int = Field(default=0, ge=0, description="seed of the choice and of the sampling")
    shards: Annotated[tuple[int, ...], Field(min_length=1)] = Field(
        default=(1,),
        description="jobs that draw the responses, the prompts dealt out among them: the list 1, 2, ... of as many",
    )

    @model_validator(mode="after")
    def _every_shard(self) -> Self:
        if self.shards != tuple(range(1, len(self.shards) + 1)):
            raise ValueError(f"shards {list(self.shards)}: must be 1, 2, ... without gaps, as many as there are to be")
        if len(self.shards) > self.prompts:
            raise ValueError(f"{len(self.shards)} shards for {self.prompts} prompts; list fewer")
        return self
