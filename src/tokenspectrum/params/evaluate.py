"""`evaluate`: mean@k on the benchmarks.  The same for the base policy and every trained one."""

from typing import Literal

from pydantic import Field

from tokenspectrum.params.base import Frozen


class EvaluateParams(Frozen):
    """Samples are drawn from counters of (seed, prompt, sample): paired between runs of one seed."""

    engine: Literal["transformers", "vllm"] = Field(
        default="transformers", description="what samples, for every policy and benchmark"
    )
    samples: int = Field(default=8, ge=1, description="samples a problem, exactly: the k of mean@k")
    temperature: float = Field(default=1.0, gt=0, description="divides the logits before anything else")
    top_p: float = Field(default=0.7, gt=0, le=1, description="nucleus mass")
    max_prompt_tokens: int = Field(
        default=96, ge=1, description="longer prompts lose tokens on the left, and are counted"
    )
    max_response_tokens: int = Field(default=90, ge=1, description="responses are cut off here")
    steps: tuple[int | Literal["final"], ...] = Field(
        default=("final",),
        min_length=1,
        description="checkpoints of a trained policy to evaluate; train.keep_steps keeps those before final",
    )
    keep_samples: bool = Field(
        default=True,
        description="whether each sample's text, tokens and log-probabilities are kept, to be read",
    )
