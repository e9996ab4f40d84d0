"""Params of the weights stage: one entry of `rules` for each method.  The models are those of the rules themselves.

A rule's `kind` decides which options it has, so an option that would change nothing is an unknown key.
"""

import functools
import operator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, RootModel

from tokenspectrum.weighting.registry import RULES

if TYPE_CHECKING:
    RuleParams = Any  # the rules are found in their folder, and each has options of its own
else:
    RuleParams = Annotated[
        functools.reduce(operator.or_, RULES.values()),
        Field(discriminator="kind", description="one method's weighting rule"),
    ]


class RuleSection(RootModel[RuleParams]):
    """`rules.<method>` as a section: `read_sections(**{"rules.anchor20": RuleSection})`; the rule is its `root`."""

    model_config = ConfigDict(frozen=True, strict=True)
