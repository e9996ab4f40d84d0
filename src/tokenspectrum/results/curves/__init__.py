"""Training curves: a metric at each step, its mean over replicates and their spread.

The CSV holds the values themselves.  The figure draws their trailing mean, with a band from the lowest to the highest
replicate: a row a metric, a column a method.  The reference is the dashed black line in every panel.
"""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.values import Alignment, Labels, LayerNames, Name
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.figures import METRICS

if TYPE_CHECKING:
    CurveMetric = str
else:
    CurveMetric = Literal[*METRICS]


class CurvesParams(Frozen):
    """`results/curves`: training curves."""

    metrics: tuple[CurveMetric, ...] = Field(
        default=("reward", "accuracy", "length", "predictive_entropy", "attention_entropy"),
        min_length=1,
        description="columns of the table metrics, a panel each",
    )
    smooth: int = Field(
        default=5, ge=1, description="steps of the trailing mean that is drawn; 1 draws the values themselves"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError("metrics: a column is named twice")
        return self


RESULT = Result(
    __name__,
    title="training curves",
    question="How do reward, accuracy, length and entropies move during training?",
    reads=("metrics",),
    columns=(
        Column("method", str, "the method"),
        Column("metric", str, "a column of the table metrics"),
        Column("step", int, "training step, from 1"),
        Column("n", int, "replicates that have a value at this step"),
        Column("mean", float, "mean over replicates"),
        Column("sd", float, "standard deviation over replicates; empty with one"),
        Column("low", float, "lowest replicate"),
        Column("high", float, "highest replicate"),
    ),
    params=CurvesParams,
    others={
        "analysis.table1.labels": Labels,
        "analysis.table1.reference": Name,
        "tokens.alignment": Alignment,
        "train.token_log.layers": LayerNames,
    },
    figure=True,
    overturned="A difference between two lines that is smaller than the bands is a difference between replicates.",
)
