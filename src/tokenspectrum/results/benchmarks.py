"""What a result says of the benchmarks: their names, and which of them are stand-ins.  Knows no accuracy."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, RootModel


class BenchmarkSource(BaseModel):
    """Where a benchmark comes from, as far as a result says it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    kind: str
    benchmark: str | None = None
    format: str | None = None


class BenchmarkName(BaseModel):
    """An entry of `prompts.benchmarks`, as far as a result reads it; the rest is the prompts stage's."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str
    source: BenchmarkSource

    @property
    def is_stand_in(self) -> bool:
        """Its problems are made here, whatever its name."""
        return self.source.kind in ("stand_in", "synthetic")

    @property
    def heading(self) -> str:
        """Its column's name: a stand-in never goes by the bare name of what it stands in for."""
        return f"{self.name} (stand-in)" if self.is_stand_in else self.name

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        if self.is_stand_in:
            return f"synthetic stand-in for {self.source.benchmark}" if self.source.benchmark else "synthetic"
        return f"{self.source.kind}, format {self.source.format}"


class BenchmarkNames(RootModel[tuple[BenchmarkName, ...]]):
    """`prompts.benchmarks` as a result reads it."""


def stand_ins(benchmarks: Sequence[BenchmarkName]) -> list[str]:
    """Names of the stand-ins."""
    return [b.name for b in benchmarks if b.is_stand_in]


def kind(benchmarks: Sequence[BenchmarkName]) -> str:
    """All benchmarks in a word or two, for a column of a CSV."""
    made = stand_ins(benchmarks)
    if not made:
        return "real"
    return "synthetic stand-ins" if len(made) == len(benchmarks) else "real and synthetic stand-ins"
