"""Replicates: what every n, interval and test is over.  Knows neither the policies nor the runs."""

from pydantic import Field, RootModel

from tokenspectrum.params.base import Frozen

# Tables hold seeds in 32 bits with a sign.
MOST_SEED = 2**31 - 1


class Replicate(Frozen):
    """One training of every method: under a seed of its own, on one of the base policies."""

    seed: int = Field(..., ge=0, le=MOST_SEED, description="training seed; it names the replicate")
    base: int = Field(..., ge=0, le=MOST_SEED, description="base policy that it trains, one of bases")


class ExtraRun(Frozen):
    """One more training of one method: a replicate that the other methods do not have."""

    run: str = Field(..., description="METHOD-sSEED: what its outputs are called")
    method: str = Field(..., description="one of methods")
    seed: int = Field(..., ge=0, le=MOST_SEED, description="training seed, of no replicate")
    base: int = Field(..., ge=0, le=MOST_SEED, description="base policy that it trains, one of bases")


class ExtraRuns(RootModel[tuple[ExtraRun, ...]]):
    """The list `extra_runs`."""

    model_config = {"frozen": True}


class Replicates(RootModel[tuple[Replicate, ...]]):
    """The list `replicates`."""

    model_config = {"frozen": True}
