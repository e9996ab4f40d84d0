"""The gain of a method on several policies: this preset's, and those of other presets whose numbers lie in a folder.

A preset is one family of policies, so another policy is another preset: it is run, and its `results/seeds.csv` is put
into the folder under the preset's name.  Each policy has a row for Avg and one for its hardest benchmark, which is that
on which its base policies are worst.  The test is the paired t-test over the policy's own replicates; the p-values are
adjusted by Holm's method over the policies.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.results.benchmarks import BenchmarkNames
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.options import AskedOfTable1
from tokenspectrum.results.outcome.declare import missing_methods


class TransferParams(Frozen):
    """`results/transfer`: the method whose gain is compared, and where other presets' numbers lie."""

    methods: tuple[str, ...] = Field(
        default=("full", "low2high_mid"), min_length=2, description="the reference first, then what is set against it"
    )
    folder: str = Field(
        default="data/transfer",
        min_length=1,
        description="results/seeds.csv of other presets, each under its preset's name: data/transfer/qwen3-14b.csv",
    )


def lacks(params: Any) -> Iterator[str]:
    """The methods that its options name, and another preset's numbers."""
    own = params.analysis.transfer
    yield from missing_methods(own, params, "analysis.transfer")
    if not list(Path(own.folder).glob("*.csv")):
        yield f"{own.folder} holds no CSV; run another preset and copy its results/seeds.csv to {own.folder}/PRESET.csv"


RESULT = Result(
    __name__,
    title="transfer",
    question="Does the gain hold on other policies?",
    reads=("evaluate", "evaluate_base"),
    columns=(
        Column("source", str, "the preset that trained it"),
        Column("source_policy", str, "its base policy"),
        Column("metric", str, "Avg, or hardest"),
        Column("of", str, "of hardest: the benchmark"),
        Column("method", str, "the method"),
        Column("n", int, "replicates"),
        Column("bases", int, "base policies that they train"),
        Column("base_mean", float, "accuracy of the base policies, percent"),
        Column("mean", float, "accuracy, percent"),
        Column("sd", float, "standard deviation over replicates"),
        Column("against", str, "the reference"),
        Column("against_mean", float, "its accuracy, percent"),
        Column("difference", float, "mean less that, points"),
        Column("difference_sd", float, "standard deviation of the paired differences, points"),
        Column("ci_low", float, "t interval of the difference, lower end"),
        Column("ci_high", float, "the same, upper end"),
        Column("p", float, "two-sided p-value of the paired t-test"),
        Column("p_holm", float, "the same after Holm over the policies, of this metric and method"),
        Column("p_flip", float, "exact two-sided p-value of the sign-flip test"),
        Column("mdd", float, "the smallest true difference that the t-test would find, points"),
        Column("bases_above", int, "base policies on which the difference is above 0"),
    ),
    params=TransferParams,
    others={"analysis.table1": AskedOfTable1, "prompts.benchmarks": BenchmarkNames},
    folder="folder",
    lacks=lacks,
    overturned="A policy on which the sign is the other one, with an interval that does not reach 0.",
)
