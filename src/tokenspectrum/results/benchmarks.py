"""What a result says of the benchmarks: their names, and which of them are stand-ins.  Knows no accuracy."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, RootModel

OWN_FORMATS = ("simple", "verl")  # whoever names a published format has that benchmark


class BenchmarkSource(BaseModel):
    """Where a benchmark comes from, as far as a result says it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    kind: str
    benchmark: str | None = None
    format: str | None = None
    dataset: str | None = None


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
    def is_generated(self) -> bool:
        """A generator makes its problems, and it stands in for nothing."""
        return self.source.kind == "reasoning_gym"

    @property
    def is_own(self) -> bool:
        """It is no published benchmark, and stands in for none: the papers' figures say nothing beside it."""
        if self.is_stand_in:
            return self.source.benchmark is None
        return self.is_generated or self.source.format in OWN_FORMATS

    @property
    def heading(self) -> str:
        """Its column's name: a stand-in never goes by the bare name of what it stands in for."""
        return f"{self.name} (stand-in)" if self.is_stand_in else self.name

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        if self.is_stand_in:
            return f"synthetic stand-in for {self.source.benchmark}" if self.source.benchmark else "synthetic"
        if self.is_generated:
            return f"made by reasoning-gym's {self.source.dataset}"
        if self.is_own:
            return "your own file" if self.source.kind == "file" else "a file of the hub"
        return f"{self.source.kind}, format {self.source.format}"


class BenchmarkNames(RootModel[tuple[BenchmarkName, ...]]):
    """`prompts.benchmarks` as a result reads it."""


def stand_ins(benchmarks: Sequence[BenchmarkName]) -> list[str]:
    """Names of the stand-ins."""
    return [b.name for b in benchmarks if b.is_stand_in]


def kind(benchmarks: Sequence[BenchmarkName]) -> str:
    """All benchmarks in a word or two, for a column of a CSV."""
    kinds = {
        "real": any(not b.is_own and not b.is_stand_in for b in benchmarks),
        "own": any(b.is_own and not b.is_stand_in and not b.is_generated for b in benchmarks),
        "generated": any(b.is_generated for b in benchmarks),
        "synthetic stand-ins": any(b.is_stand_in for b in benchmarks),
    }
    return " and ".join(name for name, there in kinds.items() if there)
