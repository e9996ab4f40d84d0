"""`sampling`: how responses to training prompts are drawn, by the rollouts stage and by training."""

from pydantic import Field

from tokenspectrum.params.base import Frozen


class SamplingParams(Frozen):
    """Temperature divides the logits first; top-p then cuts the tail."""

    temperature: float = Field(gt=0, description="divides the logits")
    top_p: float = Field(gt=0, le=1, description="the fewest tokens that hold this much probability are drawn from")
    n: int = Field(ge=2, description="responses a prompt; an advantage compares them, so at least 2")
    max_prompt_tokens: int = Field(ge=1, description="longer prompts are cut on the left")
    max_response_tokens: int = Field(ge=1, description="longer responses are cut off, and count")
