"""`rescore`: whose checkpoints score the base policy's probe again."""

from typing import Annotated, Literal

from pydantic import Field, RootModel, StringConstraints

from tokenspectrum.params.base import Frozen

Steps = Literal["kept"] | tuple[int | Literal["final"], ...]


class RescoreParams(Frozen):
    """The probe's own responses under trained policies, for the result `overlap`.  A job a method and replicate."""

    methods: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")], ...] = Field(
        default=(), description="methods whose trained policies score the probe, each one of methods; none: no such job"
    )
    steps: Steps = Field(
        default="kept",
        description="kept: the policies of train.keep_steps and the final one; or a list of such steps, and final",
    )


class RescoreSteps(RootModel[Steps]):
    """`rescore.steps` as its stage reads it: so one more method scores nothing of the others again."""
