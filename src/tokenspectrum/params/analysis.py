"""`analysis`: what the results show and which rules they state.  One sub-section a result."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from tokenspectrum.params.base import Frozen


class Names(RootModel[tuple[str, ...]]):
    """A top-level list of names: methods."""


class Numbers(RootModel[tuple[int, ...]]):
    """A top-level list of whole numbers: seeds."""


class Name(RootModel[str]):
    """A top-level name: preset."""


class BenchmarkSource(BaseModel):
    """What a result says of a benchmark's source."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    kind: str
    benchmark: str | None = None
    format: str | None = None


class BenchmarkName(BaseModel):
    """What a result says of an entry of `prompts.benchmarks`; the rest is the prompts stage's."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str
    source: BenchmarkSource

    @property
    def is_stand_in(self) -> bool:
        """Its problems are made here, whatever its name."""
        return self.source.kind in ("stand_in", "synthetic")

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        if self.is_stand_in:
            return f"synthetic stand-in for {self.source.benchmark}" if self.source.benchmark else "synthetic"
        return f"{self.source.kind}, format {self.source.format}"


class BenchmarkNames(RootModel[tuple[BenchmarkName, ...]]):
    """`prompts.benchmarks` as a result reads it."""


class Labels(RootModel[dict[str, str]]):
    """`analysis.table1.labels` as a figure reads it."""


class RuleAlignment(BaseModel):
    """What a figure says of an entry of `rules`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    alignment: str = "decision"


class RuleAlignments(RootModel[dict[str, RuleAlignment]]):
    """`rules` as a figure reads it."""


class Alignment(RootModel[Literal["decision", "token"]]):
    """`tokens.alignment` as a figure reads it."""


class LayerNames(RootModel[tuple[int | str, ...]]):
    """`train.token_log.layers` as a figure reads it."""


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
    """Hierarchical bootstrap of the difference from the reference: seeds, then problems."""

    draws: int = Field(default=2000, ge=100, description="resamples")
    seed: int = Field(default=0, ge=0, description="of the resampling")


class Table1Params(Frozen):
    """`results/table1`: its rows' labels, the reference that they are tested against, and the rules that it states."""

    labels: dict[str, str] = Field(
        default={}, description="label of each method's row, and of base; a method without one shows its name"
    )
    reference: str = Field(
        default="full", description="the method that all others are tested against; tests are blank if it is not run"
    )
    survivors: tuple[str, ...] = Field(
        default=(), description="methods that get a second row, of the seeds that did not collapse"
    )
    last_checkpoints: int = Field(default=1, ge=1, description="evaluated checkpoints averaged, counted from the last")
    collapse: CollapseParams = CollapseParams()
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="level of the tests; intervals cover 1 - alpha")
    power: float = Field(default=0.8, gt=0.5, lt=1, description="power of the minimum detectable difference")
    bootstrap: BootstrapParams = BootstrapParams()
    about_zero: float = Field(
        default=1.0,
        ge=0,
        le=100,
        description="if no row's Avg exceeds this (percent), the table says that accuracy is about zero",
    )


CurveMetric = Literal[
    "reward", "accuracy", "length", "predictive_entropy", "attention_entropy", "kept_fraction", "clip_fraction", "loss"
]


class CurvesParams(Frozen):
    """`results/curves`: training curves."""

    metrics: tuple[CurveMetric, ...] = Field(
        default=("reward", "accuracy", "length", "predictive_entropy", "attention_entropy"),
        min_length=1,
        description="columns of the table metrics, a panel each",
    )
    smooth: int = Field(
        default=5, ge=1, description="steps of the trailing mean that is drawn; 1 draws the values themselves"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError("metrics: a column is named twice")
        return self


class LayersParams(Frozen):
    """`results/layers`: how far layers agree on the base policy's probe."""

    p: float = Field(
        default=0.2, gt=0, lt=1, description="fraction of a response's tokens that are anchors, and that are explorers"
    )
    score: Literal["entropy_norm", "entropy_raw"] = Field(
        default="entropy_norm", description="column of the table attention to rank tokens by"
    )


class AnalysisParams(Frozen):
    """The whole section."""

    table1: Table1Params = Table1Params()
    curves: CurvesParams = CurvesParams()
    layers: LayersParams = LayersParams()
