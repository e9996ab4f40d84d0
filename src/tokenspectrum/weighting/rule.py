"""The base of all weighting rules: one frozen model that params and rule.json hold, and that weighs the tokens.

Knows what every rule has in common.  Knows no single rule; each has its own file in rules/.

A rule's file is imported when params are checked, before anything runs.  So neither this module nor a rule's file
imports torch at its top.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.layers import resolve_layers

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome

# What training reads of a rule beside its options.  If a rule leaves no choice here, the value is a class constant, and
# rule.json holds it like an option.
CONSTANTS = ("denominator", "score", "entropy_of")

# What a rule that looks back knows of the steps before, as JSON can hold it.
Memory = Mapping[str, Any]


@dataclass(frozen=True)
class Score:
    """The number of each token that a rule looks at.

    name        a statistic of the attention row, "predictive_entropy" or "loss_magnitude"
    layer       0-based layer of the attention row, or several: the score is then the mean over them; None for the
                other two
    alignment   the query whose row it is, decision or token; None for the other two
    """

    name: str
    layer: int | tuple[int, ...] | None = None
    alignment: Literal["decision", "token"] | None = None

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that it is read at; none for a score that is not of the attention row."""
        if self.layer is None:
            return ()
        return (self.layer,) if isinstance(self.layer, int) else self.layer

    @property
    def by_layer(self) -> "tuple[Score, ...]":
        """The same score at each of its layers alone."""
        return tuple(replace(self, layer=layer) for layer in self.layers)


@dataclass(frozen=True)
class Seen:
    """What a training step showed, for rules that look back.

    reward, length   means over the responses of the step's rollout batch, as in the table metrics
    cosine           of the rule's gradient to that of all tokens; None where the step did not measure it
    """

    reward: float
    length: float
    cosine: float | None = None


class Rule(Frozen):
    """Base of all rules.  The fields of a rule are its options in params; `kind` names it.

    `denominator` is an option or a constant of every rule: D of a mini-batch is the sum of the weights ("selected") or
    the number of valid tokens ("all").  A rule that looks at a score has `score`, and for one of the attention row
    `layer` and `alignment`.  `entropy_of` says whose score it is: of the policy that sampled the batch ("old") or of
    the one being updated ("current").
    """

    kind: str
    needs_types: ClassVar[bool] = False
    """Whether the batch must hold the types of the tokens."""
    needs_predictive: ClassVar[bool] = False
    """Whether the batch must hold predictive entropy, beside the score that the rule looks at."""

    if TYPE_CHECKING:

        @property
        def denominator(self) -> Literal["selected", "all"]: ...

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        """The weight of every token of `batch`.

        The batch is the whole rollout batch.  Where `needs_current` it is one mini-batch.
        """
        raise NotImplementedError

    @property
    def looks_at(self) -> Score | None:
        """The score that the batch must hold; None where the rule needs none."""
        name = getattr(self, "score", None)
        if name is None:
            return None
        return Score(name, getattr(self, "layer", None), getattr(self, "alignment", None))

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers whose attention rows the rule reads."""
        return () if self.looks_at is None else self.looks_at.layers

    @property
    def needs_current(self) -> bool:
        """Whether the rule ranks by the policy being updated.  Then each mini-batch is measured before its update."""
        return getattr(self, "entropy_of", None) == "current"

    def probes(self, step: int) -> bool:
        """Whether the rule has to see the cosine of its gradient at this step, from 1."""
        return False

    @property
    def shown_at(self) -> tuple[int, ...]:
        """The values of s (rollout batches before this one) at which the weights stage shows what the rule does."""
        return (0,)

    def resolved(self, n_layers: int) -> Self:
        """The rule on a policy of `n_layers` layers: a layer's name becomes its index.  UserError for a wrong layer."""
        layer = getattr(self, "layer", None)
        return self if layer is None else self.model_copy(update={"layer": resolve_layers(layer, n_layers)})

    def fitted(self, batch: "TokenBatch") -> Self:
        """The rule with a number for every option that is `auto`, found on `batch`, the base policy's tokens."""
        return self

    @property
    def memory(self) -> Memory | None:
        """What a rule that looks back knows before the first step; None for all others."""
        return None

    def after(self, memory: Memory, seen: Seen) -> Memory:
        """What such a rule knows after a step.  Plain numbers, texts and lists, since a checkpoint holds them as JSON.

        It follows from `memory` and `seen` alone, so a resumed run knows the same.
        """
        raise NotImplementedError

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """What rule.json holds beside the options.  It is the same for every rule of this kind."""
        return {name: getattr(cls, name) for name in CONSTANTS if hasattr(cls, name)}

    def record(self) -> dict[str, Any]:
        """What rule.json holds: options and constants; options without a value are left out."""
        values = self.model_dump(mode="json") | json.loads(json.dumps(self.constants()))
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def options(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        """The options in a `record`, not validated."""
        return {name: value for name, value in record.items() if name not in cls.constants()}

    def to_json(self) -> str:
        """The text of rule.json: sorted keys, floats that read back exactly."""
        return json.dumps(self.record(), indent=1, sort_keys=True) + "\n"
