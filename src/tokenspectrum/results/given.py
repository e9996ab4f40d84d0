"""The params that a result reads: its own options, and the other sections that it names.  Knows no result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import RootModel

from tokenspectrum.params.base import read_sections
from tokenspectrum.results.declare import Result


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
        """The methods that are trained, in order."""
        return self.values.get("methods", ())

    @property
    def seeds(self) -> tuple[int, ...]:
        """The training seeds of each method."""
        return self.values.get("seeds", ())


def read_given(result: Result) -> Given:
    """What `result` reads of this process's params; a UserError of one line if a section is missing or wrong."""
    models = result.models
    sections = read_sections(**models)
    values = {
        name: section.root if isinstance(section, RootModel) else section
        for name, section in zip(models, sections, strict=True)
    }
    return Given(values.pop(result.section, None), values)
