"""`train`: one update after another, and what of them is logged.  The same for every method and seed."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from tokenspectrum.params.base import LEFT_OUT, Frozen
from tokenspectrum.params.dtype import Dtype
from tokenspectrum.params.layers import Layer, once
from tokenspectrum.params.one_of import OneOf
from tokenspectrum.training.backends import trainer_names


class ClipParams(Frozen):
    """DAPO's clipping of the probability ratio."""

    low: float = Field(default=0.2, gt=0, lt=1, description="the ratio is clipped from below at 1 - low")
    high: float = Field(default=0.28, gt=0, description="the ratio is clipped from above at 1 + high")
    dual: float = Field(
        default=10.0, gt=1, description="where the advantage A is negative the loss is at most -A * dual"
    )


class RowStatsParams(Frozen):
    """Statistics that need the whole attention row, of a sample of responses on some steps."""

    every: int = Field(default=10, ge=1, description="on steps 1, 1 + every, 1 + 2 every, ...")
    responses: int = Field(
        default=32, ge=1, description="responses sampled on such a step; all of them if there are fewer"
    )
    rows: int = Field(
        default=64, ge=1, description="tokens of those responses whose whole row is kept, in attention_rows"
    )
    top_k: int = Field(default=16, ge=2, description="k of the top-k entropy")
    fixed_k: int = Field(default=32, ge=2, description="K of the fixed-K entropy")


class TokenLogParams(Frozen):
    """What the token log of a run holds."""

    tokens: Literal["every_step", "none"] = Field(
        default="every_step", description="whether the table tokens is written"
    )
    attention: Literal["streaming", "none"] = Field(
        default="streaming",
        description="streaming: entropies, distance and local mass of every response token at the logged layers",
    )
    layers: Annotated[tuple[Layer | Literal["rule"], ...], AfterValidator(once)] = Field(
        default=("rule", "mid"),
        description="attention layers to log; rule stands for the layer that the weighting rule reads, if it reads one",
    )
    local_window: int = Field(default=32, ge=1, description="positions that count as local in local_mass")
    row_stats: RowStatsParams | None = Field(
        default=RowStatsParams(),
        description="top-k, fixed-K and support sizes, and the rows themselves, of a sample; null: none",
    )

    @model_validator(mode="after")
    def _rows_need_attention(self) -> Self:
        if self.attention == "none" and self.row_stats is not None:
            raise ValueError("row_stats needs attention: streaming; set row_stats: null")
        return self


class DynamicSamplingParams(Frozen):
    """DAPO's dynamic sampling: prompts whose responses all earn the same teach nothing, and are replaced."""

    max_batches: int = Field(
        ge=2,
        description="prompt batches that a step may draw, of prompts_per_step each; step s starts at batch "
        "(s-1) * max_batches, and the first dropped prompts fill up where too few are left",
    )


class TrainParams(Frozen):
    """DAPO with mini-batches.  Step s trains on rollout batch s; there is no KL term and no entropy bonus."""

    trainer: Annotated[str, OneOf(trainer_names())] = Field(
        default="local", description="local: one process, plain PyTorch; verl: Ray and vLLM"
    )
    dtype: Dtype = Field(
        default="float32",
        description="precision that the policy computes in, here and where it is sampled; verl keeps the weights that "
        "the optimiser updates in float32; the local trainer knows float32 only",
    )
    steps: int = Field(default=40, ge=1, description="rollout batches to train on")
    prompts_per_step: int = Field(
        default=16, ge=1, description="prompts in a rollout batch; each gets sampling.n responses"
    )
    mini_batches: int = Field(
        default=4, ge=1, description="optimiser steps on each rollout batch; divides prompts_per_step"
    )
    learning_rate: float = Field(default=0.0002, gt=0, description="of AdamW, after warm-up")
    warmup_steps: int = Field(
        default=0, ge=0, description="steps of linear warm-up: step s uses learning_rate * s / warmup_steps"
    )
    weight_decay: float = Field(default=0.0, ge=0, description="of AdamW, on every parameter")
    betas: tuple[float, float] = Field(
        default=(0.9, 0.999), description="AdamW's decay rates of the first and second moment"
    )
    grad_clip: float = Field(default=1.0, gt=0, description="the gradient is scaled down to this norm")
    clip: ClipParams = ClipParams()
    rollout_is_threshold: Annotated[Annotated[float, Field(gt=0)] | None, LEFT_OUT] = Field(
        None,
        description="C of truncated importance sampling: a token's loss counts min(exp(logprob - rollout_logprob), C) "
        "times, as under verl's rollout_is: token; null: once",
    )
    keep_steps: tuple[int, ...] = Field(
        default=(), description="steps whose policies are kept besides the final one, for evaluation"
    )
    dynamic_sampling: DynamicSamplingParams | None = Field(
        default=None, description="null: every prompt drawn is trained on"
    )
    verl_overrides: dict[str, JsonValue] = Field(
        default={}, description="any other key of verl's configuration, dotted, and its value; trainer verl only"
    )
    token_log: TokenLogParams = TokenLogParams()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.trainer == "local" and self.dtype != "float32":
            raise ValueError(
                f"dtype {self.dtype} with trainer local, which computes in float32 alone; use trainer verl"
            )
        if self.trainer == "local" and self.verl_overrides:
            raise ValueError("verl_overrides with trainer local would change nothing; use {}, or trainer verl")
        if self.prompts_per_step % self.mini_batches:
            raise ValueError(
                f"mini_batches {self.mini_batches} does not divide prompts_per_step {self.prompts_per_step}"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas {self.betas} must be at least 0 and below 1")
        for step in self.keep_steps:
            if not 1 <= step <= self.steps:
                raise ValueError(f"keep_steps has {step}, outside 1 to steps = {self.steps}")
        return self
