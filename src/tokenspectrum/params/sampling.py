"""`sampling`: how training responses are drawn.  Shared by the rollouts stage and the trainers."""

from pydantic import Field, field_validator

from tokenspectrum.params.base import Frozen


class SamplingParams(Frozen):
    """Counter-based draws: the token at a position depends on (seed, step, prompt, sample, position) alone."""

    temperature: float = Field(default=1.0, gt=0, description="divides the logits before anything else")
    top_p: float = Field(default=0.95, gt=0, le=1, description="nucleus mass; 1 samples from the full distribution")
    n: int = Field(default=8, description="responses a prompt; they are compared with one another, so at least 2")
    max_prompt_tokens: int = Field(
        default=96, ge=1, description="longer prompts lose tokens on the left, and are counted"
    )
    max_response_tokens: int = Field(
        default=90, ge=1, description="responses are cut off here; a cut-off response counts"
    )

    @field_validator("n")
    @classmethod
    def _a_group(cls, n: int) -> int:
        if n < 2:
            raise ValueError("an advantage compares the responses of a prompt, so n must be at least 2")
        return n
