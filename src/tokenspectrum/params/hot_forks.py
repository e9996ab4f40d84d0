"""`hot_forks`: how the base policy is decoded with a temperature of its own at forks, or everywhere else."""

from typing import Annotated

from pydantic import AfterValidator, Field, RootModel

from tokenspectrum.params.base import Frozen


def distinct(values: tuple[float, ...]) -> tuple[float, ...]:
    """`values`, each once."""
    if len(set(values)) != len(values):
        raise ValueError("each temperature once")
    return values


class HotForksParams(Frozen):
    """A fork is a token above a quantile of the probe's predictive entropy (FORKING fig. 3)."""

    quantile: float = Field(default=0.8, gt=0, lt=1, description="of predictive entropy over the probe's tokens")
    temperatures: Annotated[
        tuple[Annotated[float, Field(gt=0, le=10)], ...], Field(min_length=1), AfterValidator(distinct)
    ] = Field(default=(0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0), description="T' of the forks, or of the other tokens")
    problems: int = Field(default=64, ge=1, description="problems of each benchmark, chosen by hash")
    samples: int = Field(default=4, ge=1, description="samples of a problem under each setting")
    top_p: float = Field(default=1.0, gt=0, le=1, description="nucleus mass; 1 leaves the temperature alone to act")


class HotForksSection(RootModel[HotForksParams | None]):
    """The section as a stage reads it: null where it is not asked for."""
