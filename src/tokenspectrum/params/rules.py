"""Params of the weights stage: one entry of `rules` for each method.  The models are those of the rules themselves.

A rule's `kind` decides which options it has, so an option that would change nothing is an unknown key.
"""

import functools
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, RootModel, Tag

from tokenspectrum.weighting.registry import RULES, is_path
from tokenspectrum.weighting.rules._python import PythonRule

PATH = "module:function"


def kind(data: Any) -> str | None:
    """What chooses a rule's model: its kind, or PATH where that is the path of a function."""
    found = data.get("kind") if isinstance(data, Mapping) else getattr(data, "kind", None)
    return PATH if is_path(found) else None if found is None else str(found)


if TYPE_CHECKING:
    RuleParams = Any  # the rules are found in their folder, and each has options of its own
else:
    RuleParams = Annotated[
        functools.reduce(
            operator.or_,
            [Annotated[model, Tag(kind)] for kind, model in {**RULES, PATH: PythonRule}.items()],
        ),
        Discriminator(kind),
        Field(description="one method's weighting rule"),
    ]


class RuleSection(RootModel[RuleParams]):
    """`rules.<method>` as a section: `read_sections(**{"rules.anchor20": RuleSection})`; the rule is its `root`."""

    model_config = ConfigDict(frozen=True, strict=True)
