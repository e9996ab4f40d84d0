"""`rollouts`: the probe of the base policy, on which rules are resolved and shown before any training."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokenspectrum.params.base import LEFT_OUT, Frozen


class GivenParams(Frozen):
    """Responses that were sampled elsewhere, in the place of sampling.  `spectrum import` writes file and section."""

    path: str = Field(min_length=1, description="Parquet file of the table given")
    n: int = Field(ge=1, description="responses a prompt, in the place of sampling.n; with 1 every advantage is 0")
    rewards: Literal["ours", "theirs"] = Field(
        default="theirs", description="whether the verifier here judges, or the rewards in the file count"
    )


class RolloutsParams(Frozen):
    """Which training prompts the base policy answers (sampling.n times each), and under which seed."""

    engine: Literal["transformers", "vllm", "given"] = Field(
        default="transformers",
        description="what samples, the base policy's probe alone; given: responses of a file",
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

    given: Annotated[GivenParams | None, LEFT_OUT] = Field(
        default=None, description="the file of responses, for engine given; null: none"
    )

    def responses(self, n: int) -> int:
        """Responses a prompt, where `n` is sampling.n."""
        return n if self.given is None else self.given.n

    @model_validator(mode="after")
    def _given(self) -> Self:
        if (self.engine == "given") != (self.given is not None):
            raise ValueError("engine given and the section given belong together; set both or neither")
        return self

    @model_validator(mode="after")
    def _every_shard(self) -> Self:
        if self.shards != tuple(range(1, len(self.shards) + 1)):
            raise ValueError(f"shards {list(self.shards)}: must be 1, 2, ... without gaps, as many as there are to be")
        if len(self.shards) > self.prompts:
            raise ValueError(f"{len(self.shards)} shards for {self.prompts} prompts; list fewer")
        return self
