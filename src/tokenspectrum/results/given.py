"""The params that a result reads: its own options, and the other sections that it names.  Knows no result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import RootModel

from tokenspectrum.params.base import read_sections
from tokenspectrum.params.replicates import ExtraRun, Replicate
from tokenspectrum.results.declare import Result
from tokenspectrum.results.sources import Wanted


@dataclass(frozen=True)
class Given:
    """Values by dotted name; `own` is the model of the result's own options, None if it has none."""

    own: Any
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """The value of a section that the result names: `given["tokens.alignment"]`."""
        return self.values[name]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it reads, in order: those of its own options if it has them, or all that are trained."""
        return getattr(self.own, "methods", None) or self.values.get("methods", ())

    @property
    def replicates(self) -> tuple[Replicate, ...]:
        """The trainings of each method: a seed and a base policy each."""
        return self.values.get("replicates", ())

    @property
    def more(self) -> tuple[ExtraRun, ...]:
        """The further runs of the methods that it reads."""
        return tuple(extra for extra in self.values.get("extra_runs", ()) if extra.method in self.methods)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The replicates' seeds."""
        return tuple(replicate.seed for replicate in self.replicates)

    @property
    def named(self) -> dict[str, str]:
        """What every result says of itself: preset and base policy."""
        return {"preset": self["preset"], "policy": self["policy"].name}

    @property
    def wanted(self) -> Wanted:
        """What tables are read of."""
        probed = self.values.get("run_gradients.methods", ())
        return Wanted(self.methods, self.seeds, self.values.get("bases", ()), self.more, probed)


def read_given(result: Result) -> Given:
    """What `result` reads of this process's params; a UserError of one line if a section is missing or wrong."""
    models = result.models
    sections = read_sections(**models)
    values = {
        name: section.root if isinstance(section, RootModel) else section
        for name, section in zip(models, sections, strict=True)
    }
    return Given(values.pop(result.section, None), values)
