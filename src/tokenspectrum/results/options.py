"""Options that several results have: when a run counts as collapsed, and how differences are tested."""

from pydantic import ConfigDict, Field

from tokenspectrum.params.base import Frozen


class CollapseParams(Frozen):
    """When a training run counts as collapsed: its last steps against its first ones."""

    window: int = Field(default=5, ge=1, description="steps averaged at either end; at most half of the run's steps")
    length_below: float = Field(
        default=0.5, ge=0, description="collapsed if mean response length falls below this times the first"
    )
    length_above: float = Field(
        default=1.6, gt=1, description="collapsed if mean response length rises above this times the first"
    )
    reward_drop: float = Field(default=0.3, gt=0, description="collapsed if mean reward falls by more than this")


class BootstrapParams(Frozen):
    """Hierarchical bootstrap of the difference from the reference: replicates, then problems."""

    draws: int = Field(default=2000, ge=100, description="resamples")
    seed: int = Field(default=0, ge=0, description="of the resampling")


class ComparisonParams(Frozen):
    """How a method is tested against the reference."""

    reference: str = Field(
        default="full", description="the method that all others are tested against; tests are blank if it is not run"
    )
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="level of the tests; intervals cover 1 - alpha")
    power: float = Field(default=0.8, gt=0.5, lt=1, description="power of the minimum detectable difference")
    bootstrap: BootstrapParams = BootstrapParams()
    labels: dict[str, str] = Field(
        default={}, description="label of each method's row, and of base; a method without one shows its name"
    )
    contrasts: tuple[tuple[str, str], ...] = Field(
        default=(), description="pairs of methods that are tested against each other; an untrained pair has no row"
    )
    last_checkpoints: int = Field(default=1, ge=1, description="evaluated checkpoints averaged, counted from the last")


class AskedOfTable1(ComparisonParams):
    """`analysis.table1` as another result reads it: how its rows are compared."""

    model_config = ConfigDict(extra="ignore")
