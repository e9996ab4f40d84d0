"""Values of params as a stage reads them that wants no more of their section.  Checked by the section's own model."""

from typing import Literal

from pydantic import RootModel


class Names(RootModel[tuple[str, ...]]):
    """A list of names: `methods`."""


class Numbers(RootModel[tuple[int, ...]]):
    """A list of whole numbers: `bases`."""


class Name(RootModel[str]):
    """A name: `preset`, `policy.kind`."""


class Labels(RootModel[dict[str, str]]):
    """What things are called, by name: `analysis.table1.labels`."""


AlignmentName = Literal["decision", "token"]


class Alignment(RootModel[AlignmentName]):
    """`tokens.alignment`."""


class LayerNames(RootModel[tuple[int | str, ...]]):
    """`train.token_log.layers`."""
