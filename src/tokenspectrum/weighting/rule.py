"""A resolved rule: what rule.json holds and all that training reads.  Nothing here is still `auto` or a layer's name.

Knows names and numbers.  Knows neither how a rule weighs tokens (masks, soft) nor where its numbers came from (params).
"""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError

CHOICES = {
    "denominator": ("selected", "all"),
    "alignment": ("decision", "token"),
    "scope": ("response", "minibatch", "rollout"),
    "entropy_of": ("old", "current"),
    "eps_mode": ("exact", "literal"),
    "matches": ("anchor", "explorer", "predictive-low", "predictive-high", "loss-low", "loss-high"),
}
RANGES = {"p": (0.0, 1.0), "tau": (0.0, math.inf), "eps": (0.0, math.inf)}  # open below, closed above
NUMBERS = {"p": float, "tau": float, "eps": float, "layer": int, "s_warm": int}
PAIRS = ("w_low", "w_high")


@dataclass(frozen=True)
class Rule:
    """One rule.  A field that its kind has no use for is None, and absent from rule.json.

    kind         name in the registry
    denominator  D of a mini-batch: "selected" = sum of weights, "all" = number of valid tokens
    p            fraction of tokens to keep
    score        which score is ranked or turned into weights; layer (0-based) and alignment say where it is taken
    scope        what a threshold is set over;  entropy_of: whose score, the old policy's or the one being updated
    tau          temperature of soft weights
    w_low        weight of a token with abar = 0, (at s = 0, from s = s_warm on);  w_high: the same where abar = 1
    s_warm       rollout batches of the linear ramp; None where the endpoints do not move
    eps_mode     exact (eps = 0) or literal (the paper's eps, then given in `eps`)
    matches      kind of the rule whose mask a control matches; p, score and the like are then that rule's
    """

    kind: str
    denominator: str
    p: float | None = None
    score: str | None = None
    layer: int | None = None
    alignment: str | None = None
    scope: str | None = None
    entropy_of: str | None = None
    tau: float | None = None
    w_low: tuple[float, float] | None = None
    w_high: tuple[float, float] | None = None
    s_warm: int | None = None
    eps_mode: str | None = None
    eps: float | None = None
    matches: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed and (value is not None or name == "denominator"):
                raise UserError(f"rule {self.kind}: {name} is {value!r}; expected one of {', '.join(allowed)}")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low < value <= high:
                raise UserError(f"rule {self.kind}: {name} is {value}; expected more than {low:g} and at most {high:g}")
        if self.s_warm is not None and self.s_warm < 1:
            raise UserError(f"rule {self.kind}: s_warm is {self.s_warm}; expected at least 1 rollout batch")
        if self.eps_mode is not None and (self.eps_mode == "literal") != (self.eps is not None):
            raise UserError(f"rule {self.kind}: eps belongs to eps_mode literal, and only there")
        if self.scope == "rollout" and self.entropy_of == "current":
            raise UserError(f"rule {self.kind}: scope rollout with entropy_of current is not computable; use old")

    def to_json(self) -> str:
        """The text of rule.json: sorted keys, only the fields in use, floats that read back exactly."""
        used = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(used, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "rule") -> "Rule":
        """The inverse of `to_json`; anything else in the text is a UserError that starts with `where`."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as e:
            raise UserError(f"{where} line {e.lineno}: not valid JSON: {e.msg}; run its weights stage again") from None
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected an object; run its weights stage again")
        unknown = sorted(data.keys() - {f.name for f in fields(cls)})
        missing = sorted({"kind", "denominator"} - data.keys())
        if unknown or missing:
            problem = f"unknown key {unknown[0]!r}" if unknown else f"no key {missing[0]!r}"
            raise UserError(f"{where}: {problem}; run its weights stage again")
        return cls(**{name: _checked(name, value, where) for name, value in data.items()})


def read_rule(path: Path) -> Rule:
    """The rule in a rule.json; a missing or damaged file is a UserError that names it."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run its weights stage") from None
    return Rule.from_json(text, str(path))


def _checked(name: str, value: Any, where: str) -> Any:
    """`value` as the type that field `name` has; numbers are not read from text, nor whole ones from fractions."""
    if name in PAIRS:
        if isinstance(value, list) and len(value) == 2 and all(_is_number(v) for v in value):
            return (float(value[0]), float(value[1]))
    elif name in NUMBERS:
        if _is_number(value) and NUMBERS[name](value) == value:
            return NUMBERS[name](value)
    elif isinstance(value, str):
        return value
    raise UserError(f"{where}: {name} is {value!r}; run its weights stage again")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
