"""A rule that is a function of the user's own, named by its path: `kind: "mypkg.rules:my_rule"`.

The function gets the batch and the rule's `arguments`, and returns a weight for each token.  Its module lies below
src/.  Knows paths of Python and what a weight must be.  Knows no function by name.
"""

import ast
import traceback
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue, StringConstraints, model_validator

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import LEFT_OUT
from tokenspectrum.params.layers import Layers
from tokenspectrum.row_statistics import OF_EVERY_TOKEN
from tokenspectrum.weighting.rule import Rule, Score

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome

    OwnScore = str
else:
    OwnScore = Literal[(*OF_EVERY_TOKEN, "predictive_entropy")]

PACKAGE = __name__.partition(".")[0]
SOURCE = Path(__file__).parents[3]  # the folder src/ of this process: the working tree's, or a frozen copy's
PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


class PythonRule(Rule):
    """A function of the user's own.  It sees predictive entropy and token types, and the score that is asked for."""

    kind: Annotated[str, StringConstraints(pattern=PATH)] = Field(
        ..., description="a function by its path, whose module lies below src/", examples=["mypkg.rules:my_rule"]
    )
    arguments: dict[str, JsonValue] = Field(
        default={}, description="what the function gets as keywords beside the batch"
    )
    denominator: Literal["selected", "all"] = Field(
        default="all",
        description="the loss is divided by the sum of the weights (selected) or by all valid tokens of the mini-batch "
        "(all)",
    )
    score: Annotated[OwnScore | None, LEFT_OUT] = Field(
        None, description="the score that is logged as the one looked at; a statistic of the attention row needs layer"
    )
    layer: Annotated[Layers | None, LEFT_OUT] = Field(
        None, description="layer of a score of the attention row, as in the rule anchor; null for others"
    )
    alignment: Literal["decision", "token"] = Field(
        default="decision", description="the query of a score of the attention row, as in the rule anchor"
    )
    needs_types: ClassVar[bool] = True
    needs_predictive: ClassVar[bool] = True

    @model_validator(mode="after")
    def _layer_belongs_to_attention(self) -> "PythonRule":
        of_row = self.score is not None and self.score != "predictive_entropy"
        if of_row and self.layer is None:
            raise ValueError(f"score {self.score} is of the attention row of a layer: give layer too")
        if not of_row and (self.layer is not None or self.alignment != "decision"):
            raise ValueError("layer and alignment belong to a score of the attention row: give that score, or neither")
        return self

    @property
    def looks_at(self) -> Score | None:
        if self.score is None:
            return None
        return Score(self.score) if self.layer is None else super().looks_at

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        import torch

        from tokenspectrum.weighting.outcome import Outcome

        found = called(self.kind, batch, self.arguments)
        try:
            weight_N = torch.as_tensor(found)
        except (TypeError, ValueError, RuntimeError):
            raise UserError(f"{self.kind}: returned {type(found).__name__}, not a tensor of weights") from None
        if weight_N.shape != (batch.n_tokens,):
            shape = tuple(weight_N.shape)
            raise UserError(f"{self.kind}: returned shape {shape}, not a weight for each of {batch.n_tokens} tokens")
        weight_N = weight_N.detach().double()
        if (wrong_N := ~weight_N.isfinite() | (weight_N < 0)).any():
            bad = int(wrong_N.nonzero()[0])
            r = int(batch.response_N[bad])
            raise UserError(
                f"{self.kind}: gave weight {float(weight_N[bad])} at step {batch.step}, prompt {batch.prompt_ids[r]}, "
                f"sample {int(batch.samples_R[r])}, position {int(batch.position_N[bad])}: weights must be finite and "
                "not negative"
            )
        score_N = None if self.score is None else batch.score_N(self.score)
        return Outcome(weight_N, weight_N > 0, score_N)


def module_file(module: str) -> Path | None:
    """The file of a dotted module below src/, None if it is not there."""
    base = SOURCE.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def wrong_path(path: str, arguments: Collection[str] = ()) -> str | None:
    """What is wrong with the path of a function, or with the names of what it gets beside the batch.

    None if nothing is.  It is found without running any of the function's code.
    """
    module, _, name = path.partition(":")
    file = module_file(module)
    if module.split(".")[0] == PACKAGE:
        return f"a function of {PACKAGE} itself; put it into a package of your own below src/"
    if file is None:
        return f"no module {module} below src/: put it into src/{module.replace('.', '/')}.py, or mend the path"
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError) as e:
        return f"{file.name} is no Python: {e}"
    named = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    if name not in named:
        have = ", ".join(sorted(n for n in named if not n.startswith("_")))
        return f"{module} has no function {name} at its top level; there are {have or 'none'}"
    return None if named[name].decorator_list else _wrong_keywords(named[name].args, arguments)


def _wrong_keywords(takes: ast.arguments, arguments: Collection[str]) -> str | None:
    """What of `arguments`, given as keywords behind the batch, a function with these parameters would not take."""
    positional = [*takes.posonlyargs, *takes.args]
    if not positional and takes.vararg is None:
        return "the function takes no batch; its first parameter is one"
    required = positional[: len(positional) - len(takes.defaults)]
    if by_place := [arg.arg for arg in takes.posonlyargs[1:] if arg in required]:
        return f"the function wants {by_place[0]} by its place; the batch alone comes so"
    batch, named = positional[:1], [arg.arg for arg in takes.args if arg not in positional[:1]]
    optional = [arg.arg for arg in positional if arg not in required]
    optional += [arg.arg for arg, default in zip(takes.kwonlyargs, takes.kw_defaults, strict=True) if default]
    named += [arg.arg for arg in takes.kwonlyargs]
    for argument in arguments:
        if argument in {arg.arg for arg in batch} or (argument not in named and takes.kwarg is None):
            return f"arguments.{argument}: the function takes no such keyword; it takes {', '.join(named) or 'none'}"
    if lacking := [name for name in named if name not in optional and name not in arguments]:
        return f"arguments: the function wants {', '.join(lacking)} too"
    return None


def called(path: str, batch: "TokenBatch", options: dict[str, Any]) -> Any:
    """What the function at `path` returns.  UserError of one line if it cannot be had, or raises."""
    module, _, name = path.partition(":")
    try:
        function = getattr(import_module(module), name)
        if not callable(function):
            raise UserError(f"{path}: {name} is no function")
        return function(batch, **options)
    except UserError:
        raise
    except AttributeError as e:
        if traceback.extract_tb(e.__traceback__)[-1].name == "called":
            raise UserError(f"{path}: module {module} has no {name}") from None
        raise UserError(_said(path, e)) from None
    except Exception as e:
        raise UserError(_said(path, e)) from None


def _said(path: str, error: Exception) -> str:
    """An error of the user's code in a line: what it says, and where."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())
    return f"{path}: {type(error).__name__}: {text} ({at.filename} line {at.lineno})"
