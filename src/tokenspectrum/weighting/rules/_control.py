"""What rules share that are a control of another rule, which stands under `of`.  Knows no single rule."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from tokenspectrum.weighting.rule import Rule, Score

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch


class Control(Rule):
    """A control of the rule in `of`; what it reads, and its denominator, are that rule's."""

    of: Rule

    @property
    def denominator(self) -> Literal["selected", "all"]:
        return self.of.denominator

    @property
    def looks_at(self) -> Score | None:
        return self.of.looks_at

    @property
    def needs_current(self) -> bool:
        return self.of.needs_current

    @property
    def shown_at(self) -> tuple[int, ...]:
        return self.of.shown_at

    def resolved(self, n_layers: int) -> Self:
        return self.model_copy(update={"of": self.of.resolved(n_layers)})

    def fitted(self, batch: "TokenBatch") -> Self:
        return self.model_copy(update={"of": self.of.fitted(batch)})

    @classmethod
    def constants(cls) -> dict[str, Any]:
        return {}

    def record(self) -> dict[str, Any]:
        """The record of the rule in `of` with this rule's kind.  That rule's kind is in `matches`."""
        return self.of.record() | {"kind": self.kind, "matches": self.of.kind}

    @classmethod
    def options(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        of = {name: value for name, value in record.items() if name != "matches"} | {"kind": record.get("matches")}
        models = get_args(cls.model_fields["of"].annotation)
        known = {get_args(model.model_fields["kind"].annotation)[0]: model for model in models}.get(of["kind"])
        return {"kind": record["kind"], "of": of if known is None else known.options(of)}
