"""The declaration of a result that compares trained methods: its options, its columns, and what params lack for it.

A declaration is read whenever anything is planned: imports nothing heavy.  Knows no single result.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.values import Alignment, LayerNames
from tokenspectrum.results.benchmarks import BenchmarkNames
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.figures import METRICS
from tokenspectrum.results.options import CollapseParams, ComparisonParams

# Accuracy over checkpoints: what a panel may show beside the columns of the table metrics.
HELD_OUT = ("Avg", "hardest", "without_hardest", "benchmarks")
CURVES = (*METRICS, *HELD_OUT)

if TYPE_CHECKING:
    Curve = str
else:
    Curve = Literal[*CURVES]


METHODS_ABOUT = "the methods that it shows, in their order; it reads no other"
CURVES_ABOUT = f"a panel each: a column of the table metrics, or accuracy over checkpoints: {', '.join(HELD_OUT)}"
CONTRASTS_ABOUT = "pairs of methods that are tested against each other, beside the tests against the reference"
WINDOWS_ABOUT = "how many of the last evaluated checkpoints accuracy is averaged over; a set of rows each"


def shown(*methods: str) -> Any:
    """The option `methods` with its default."""
    return Field(default=methods, min_length=2, description=METHODS_ABOUT)


def drawn(*curves: str) -> Any:
    """The option `curves` with its default."""
    return Field(default=curves, min_length=1, description=CURVES_ABOUT)


def contrasted(*pairs: tuple[str, str]) -> Any:
    """The option `contrasts` with its default."""
    return Field(default=pairs, description=CONTRASTS_ABOUT)


def windows(*checkpoints: int) -> Any:
    """The option `windows` with its default."""
    return Field(default=checkpoints, min_length=1, description=WINDOWS_ABOUT)


class OutcomeParams(Frozen):
    """What such a result asks for.  Levels, labels and the collapse rule are those of `analysis.table1`."""

    methods: tuple[str, ...] = shown("full", "random20")
    reference: str = Field(default="full", description="the method that all others are tested against, one of methods")
    contrasts: tuple[tuple[str, str], ...] = contrasted()
    windows: tuple[int, ...] = windows(1)
    curves: tuple[Curve, ...] = drawn("reward", "length")
    smooth: int = Field(default=5, ge=1, description="steps of the trailing mean that is drawn of training metrics")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.reference not in self.methods:
            raise ValueError(f"reference {self.reference} is not in methods; add it there")
        for name, values in (("methods", self.methods), ("curves", self.curves), ("windows", self.windows)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: a value is listed twice")
        for pair in self.contrasts:
            if not set(pair) <= set(self.methods) or len(set(pair)) == 1:
                raise ValueError(f"contrasts has {list(pair)}; it takes two different ones of methods")
        if min(self.windows) < 1:
            raise ValueError(f"windows has {min(self.windows)}; a window is at least 1 checkpoint")
        return self


class AskedOfTable1(ComparisonParams):
    """`analysis.table1` as such a result reads it: levels, labels and the collapse rule."""

    model_config = ConfigDict(extra="ignore")
    collapse: CollapseParams = CollapseParams()


OTHERS = {
    "analysis.table1": AskedOfTable1,
    "prompts.benchmarks": BenchmarkNames,
    "tokens.alignment": Alignment,
    "train.token_log.layers": LayerNames,
}

COLUMNS = (
    Column("what", str, "outcome: accuracy at the end; curve: a value at a step"),
    Column("method", str, "the method; base is the base policy"),
    Column("metric", str, "Avg, hardest, without_hardest, a benchmark (stand-ins are marked), or a column of metrics"),
    Column("of", str, "of an accuracy: the benchmarks that it is the mean of"),
    Column("step", int, "of a curve: the training step; accuracy begins with the base policy at 0"),
    Column("checkpoints", int, "of an outcome: the last evaluated checkpoints that it is the mean of"),
    Column("n", int, "replicates"),
    Column("bases", int, "base policies that they train"),
    Column("mean", float, "mean over replicates; accuracy in percent"),
    Column("sd", float, "standard deviation over replicates; empty with one"),
    Column("low", float, "lowest replicate"),
    Column("high", float, "highest replicate"),
    Column("collapsed", int, "of an outcome: replicates that collapsed, by the rule analysis.table1.collapse"),
    Column("against", str, "the method that it is compared with"),
    Column("difference", float, "mean less that method's, points"),
    Column("difference_sd", float, "standard deviation of the paired differences over replicates, points"),
    Column("ci_low", float, "t interval of the difference over replicates, lower end"),
    Column("ci_high", float, "the same, upper end"),
    Column("p", float, "two-sided p-value of the paired t-test over shared replicates"),
    Column("p_holm", float, "the same after Holm over the tested methods of this metric and window"),
    Column("p_flip", float, "exact two-sided p-value of the sign-flip test"),
    Column("mdd", float, "the smallest true difference that the t-test would find with the given power, points"),
    Column("bases_above", int, "base policies on which the difference is above 0"),
    Column("sign", str, "its sign between base policies: same, differs, or unclear; empty with one, or if all are 0"),
    Column("share", float, "accuracy as a share of that method's, percent, mean of the replicates' shares"),
    Column("share_low", float, "t interval of the share, lower end"),
    Column("share_high", float, "the same, upper end"),
    Column("gain_share", float, "the same of the gains over the base policy; empty if the other gained nothing"),
    Column("gain_share_low", float, "t interval of it, lower end"),
    Column("gain_share_high", float, "the same, upper end"),
)  # fmt: skip


def missing_methods(own: Any, params: Any, section: str) -> Iterator[str]:
    """One line for each method that its options name and the whole `params` do not train."""
    for method in own.methods:
        if method not in params.methods:
            yield f"method {method} of {section}.methods is not in methods; add it"


def missing_checkpoints(own: Any, params: Any, section: str) -> Iterator[str]:
    """A line if its windows or its curves take more evaluated checkpoints than there are."""
    there = len(params.evaluate.steps)
    if (most := max(own.windows)) > there:
        yield f"{section}.windows asks for {most} checkpoints, and evaluate.steps holds {there}; add steps there"
    if there < 2 and (held := [curve for curve in own.curves if curve in HELD_OUT]):
        yield f"{section}.curves has {held[0]} over checkpoints, and evaluate.steps holds one; add steps there"


def outcome(package: str, *, title: str, question: str, params: type[OutcomeParams], overturned: str) -> Result:
    """The declaration of a result of this shape.  Its result.py takes `compute` of `rows` and `draw` of `figure`."""
    section = f"analysis.{package.rpartition('.')[2]}"

    def lacks(whole: Any) -> Iterator[str]:
        """The methods that its options name, and the checkpoints that its windows and curves take."""
        own = getattr(whole.analysis, section.partition(".")[2])
        yield from missing_methods(own, whole, section)
        yield from missing_checkpoints(own, whole, section)

    return Result(
        package,
        title=title,
        question=question,
        reads=("evaluate", "evaluate_base", "metrics"),
        columns=COLUMNS,
        params=params,
        others=OTHERS,
        figure=True,
        lacks=lacks,
        overturned=overturned,
    )
