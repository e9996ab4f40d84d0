"""Params of the policy stage: a tiny Qwen3 trained here, any Hugging Face causal LM, or a GGUF file."""

from typing import Annotated, Literal

from pydantic import Field, RootModel, model_validator

from tokenspectrum.params.base import Frozen

Share = Annotated[float, Field(ge=0, le=1)]


class Shape(Frozen):
    """Shape and initial values of the tiny Qwen3."""

    layers: int = Field(default=3, ge=1, description="decoder layers")
    hidden: int = Field(default=64, ge=1, description="width of the residual stream")
    heads: int = Field(default=4, ge=1, description="query heads")
    kv_heads: int = Field(default=2, ge=1, description="key and value heads; divides heads")
    head_dim: int = Field(default=32, ge=2, multiple_of=2, description="width of a head; vLLM on CPU needs 32 or more")
    intermediate: int = Field(default=128, ge=1, description="width of the MLP")
    max_positions: int = Field(default=1024, ge=16, description="longest prompt and response together, tokens")
    init_std: float = Field(default=0.1, gt=0, description="standard deviation of the initial weights")
    qk_norm: float = Field(
        default=1.5, gt=0, description="initial gain of the query and key norms: how sharp attention starts"
    )

    @model_validator(mode="after")
    def _groups(self) -> "Shape":
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads {self.kv_heads} does not divide heads {self.heads}")
        return self


class Corpus(Frozen):
    """The synthetic solutions that the tiny policy is trained on."""

    k_max: int = Field(default=8, ge=1, le=9, description="most steps of a problem")
    k_mean: float = Field(default=2.0, gt=0, description="mean of the exponential that draws the number of steps")
    guess: Share = Field(default=0.32, description="share of one-step problems whose solution is the bare answer")
    guess_per_step: Share = Field(default=0.045, description="what each further step adds to that share")
    unboxed: Share = Field(default=0.12, description="share of the solutions with steps that forget the box")
    large: Share = Field(
        default=0.06, description="share of literals above 4: rare facts of arithmetic, known less well"
    )
    guess_from: Share = Field(default=0.55, description="share of the training steps before the first guesses appear")


class Training(Frozen):
    """AdamW on the solutions' tokens; the rate warms up, stays, and falls linearly to zero."""

    steps: int = Field(default=1600, ge=1, description="optimiser steps")
    batch: int = Field(default=16, ge=1, description="solutions a step")
    lr: float = Field(default=0.004, gt=0, description="learning rate at its plateau")
    warmup: int = Field(default=30, ge=0, description="steps of linear warm-up")
    decay: Share = Field(default=0.3, description="share of the steps, at the end, over which the rate falls")
    beta2: float = Field(default=0.98, gt=0, lt=1, description="AdamW's second-moment decay")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's weight decay")


class Range(Frozen):
    """What the policy must score on one benchmark."""

    benchmark: str = Field(..., min_length=1, description="name of the benchmark, as in prompts.benchmarks")
    low: Share = Field(..., description="lowest mean@k")
    high: Share = Field(..., description="highest mean@k")

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Check(Frozen):
    """What the finished policy must score, or the stage fails: it sits on a phase transition and seeds differ."""

    samples: int = Field(default=8, ge=2, description="samples a problem")
    temperature: float = Field(default=1.0, gt=0, description="sampling temperature")
    top_p: float = Field(default=0.7, gt=0, le=1, description="nucleus mass")
    max_response_tokens: int = Field(default=90, ge=1, description="longest sampled response")
    ranges: tuple[Range, ...] = Field(..., min_length=1, description="from the easiest benchmark to the hardest")
    min_gap: float = Field(
        default=0.05, ge=-1, le=1, description="each mean@k is below the one before it by at least this"
    )
    guess_floor: Share = Field(default=0.1, description="accuracy of blind guessing on the hardest benchmark")
    floor_errors: float = Field(
        default=3.0, ge=0, description="the hardest is above the guess floor by this many standard errors over problems"
    )

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Their names, from the easiest to the hardest."""
        return tuple(r.benchmark for r in self.ranges)


class TinyPolicy(Frozen):
    """A Qwen3 trained from scratch on synthetic arithmetic, in about a CPU-minute."""

    kind: Literal["tiny"]
    shape: Shape = Shape()
    corpus: Corpus = Corpus()
    training: Training = Training()
    check: Check | None = Field(None, description="what it must score; null to take it as it comes")

    @property
    def name(self) -> str:
        """What tables call it."""
        return "tiny"

    @property
    def num_layers(self) -> int:
        return self.shape.layers


class HubShape(Frozen):
    """Sizes of a checkpoint that is not at hand yet, for `spectrum plan`; the policy stage checks them against it."""

    hidden: int = Field(..., ge=1, description="width of the residual stream")
    heads: int = Field(..., ge=1, description="query heads")
    kv_heads: int = Field(..., ge=1, description="key and value heads")
    head_dim: int = Field(..., ge=1, description="width of a head")
    intermediate: int = Field(..., ge=1, description="width of the MLP")
    vocabulary: int = Field(..., ge=1, description="rows of the embedding")
    tied: bool = Field(..., description="whether the output layer is the embedding")


class HubPolicy(Frozen):
    """A Hugging Face causal LM with safetensors: a folder, or a hub id at a pinned revision; no remote code."""

    kind: Literal["hub"]
    source: str = Field(..., min_length=1, description="hub id (Qwen/Qwen3-8B-Base), or a folder (starts with / or .)")
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = Field(
        None, description="commit of the hub id, 40 hex digits; null for a folder"
    )
    num_layers: int = Field(..., ge=1, description="decoder layers; must be the checkpoint's own number")
    shape: HubShape | None = Field(None, description="the checkpoint's other sizes, so that a plan needs no download")
    chat_template: str | None = Field(None, description="Jinja template for a tokenizer without one; null: it has one")
    check: Check | None = Field(None, description="what it must score; null to take it as it comes")

    @property
    def name(self) -> str:
        """What tables call it: the hub id, or the folder's own name, as paths differ between machines."""
        return self.source.rstrip("/").rsplit("/", 1)[-1] if self.is_folder else self.source

    @property
    def where(self) -> str:
        """What a message names."""
        return f"policy.source {self.source}"

    @property
    def is_folder(self) -> bool:
        return self.source.startswith(("/", "."))

    @model_validator(mode="after")
    def _pinned(self) -> "HubPolicy":
        if self.is_folder and self.revision is not None:
            raise ValueError("a folder has no revision; set revision to null")
        if not self.is_folder and self.revision is None:
            raise ValueError(f"{self.source} is a hub id and needs its revision: a commit of 40 hex digits")
        return self


class GgufPolicy(Frozen):
    """A GGUF file, dequantised to float32 once: a file of its own, or one in an installed distribution."""

    kind: Literal["gguf"]
    file: str = Field(..., min_length=1, description="the file: a path, or with `package` its name in the distribution")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(..., description="the file's checksum")
    package: str | None = Field(None, min_length=1, description="the distribution that has the file; null: a path")
    version: str | None = Field(None, min_length=1, description="the distribution's version; null without `package`")
    num_layers: int = Field(..., ge=1, description="decoder layers; must be the file's own number")
    shape: HubShape | None = Field(None, description="the model's other sizes, so that a plan needs no file")
    chat_template: str | None = Field(None, description="Jinja template for a file without one; null: it has one")
    check: Check | None = Field(None, description="what it must score; null to take it as it comes")

    @property
    def name(self) -> str:
        """What tables call it: the file's name without its ending."""
        return self.file.rsplit("/", 1)[-1].removesuffix(".gguf")

    @property
    def where(self) -> str:
        """What a message names."""
        return f"policy.file {self.file}" + (f" of {self.package} {self.version}" if self.package else "")

    @model_validator(mode="after")
    def _pinned(self) -> "GgufPolicy":
        if (self.package is None) != (self.version is None):
            raise ValueError("package and version go together: give both, or null for both")
        return self


class PolicyParams(RootModel[Annotated[TinyPolicy | HubPolicy | GgufPolicy, Field(discriminator="kind")]]):
    """The policy section; `root` is the kind that it names."""

    model_config = {"frozen": True}

    @property
    def num_layers(self) -> int:
        return self.root.num_layers
