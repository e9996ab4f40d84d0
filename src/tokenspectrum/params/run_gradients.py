"""`run_gradients`: at which steps of which trained methods the gradient of a batch is taken apart."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from tokenspectrum.params.base import Frozen


def ascending(steps: tuple[int, ...]) -> tuple[int, ...]:
    """`steps`, each once and in order."""
    if list(steps) != sorted(set(steps)):
        raise ValueError("steps must ascend, each once")
    return steps


class RunGradientsParams(Frozen):
    """None by default.  What is measured of each batch is the section `gradients`, but for `by_layer`."""

    methods: tuple[str, ...] = Field(default=(), description="methods, each one of `methods`; a job each and replicate")
    steps: Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(ascending)] = Field(
        default=(),
        description="batches by their training step.  The policy that sampled batch s is the one after step s - 1, so "
        "train.keep_steps must hold s - 1; step 1 is the base policy's",
    )

    @model_validator(mode="after")
    def _both(self) -> Self:
        if bool(self.methods) != bool(self.steps):
            raise ValueError("methods and steps: give both, or neither")
        return self
