"""`rollouts`: the probe of the base policy, on which rules are resolved and shown before any training."""

from typing import Literal

from pydantic import Field

from tokenspectrum.params.base import Frozen


class RolloutsParams(Frozen):
    """Which training prompts the base policy answers (sampling.n times each), and under which seed."""

    engine: Literal["transformers", "vllm"] = Field(description="what samples; the base policy's probe alone")
    prompts: int = Field(ge=1, description="training prompts in the probe; all of them if there are fewer")
    choose: Literal["hash", "first"] = Field(description="by a hash of prompt and seed, or the first in the file")
    seed: int = Field(ge=0, description="seed of the choice and of the sampling")
