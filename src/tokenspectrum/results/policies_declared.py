"""What results share that set policies of several presets side by side: options, columns, and what params lack.

A declaration is read whenever anything is planned: imports nothing heavy.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.results.declare import Column
from tokenspectrum.results.outcome.declare import missing_methods


class PoliciesParams(Frozen):
    """The methods that are compared on each policy, and where other presets' numbers lie."""

    methods: tuple[str, ...] = Field(
        default=("full", "low2high_mid"), min_length=2, description="the reference first, then what is set against it"
    )
    folder: str = Field(
        default="data/transfer",
        min_length=1,
        description="folder of results/seeds.csv of other presets: data/transfer/qwen3-14b.csv",
    )


def lacking(section: str) -> Callable[[Any], Iterator[str]]:
    """The check of `analysis.<section>`."""

    def lacks(params: Any) -> Iterator[str]:
        """The methods that its options name, and another preset's numbers."""
        own = getattr(params.analysis, section)
        yield from missing_methods(own, params, f"analysis.{section}")
        if not list(Path(own.folder).glob("*.csv")):
            folder = own.folder
            yield f"{folder} holds no CSV; run another preset and copy its results/seeds.csv to {folder}/PRESET.csv"

    return lacks


COLUMNS = (
    Column("policy", str, "the preset that trained it"),
    Column("base_policy", str, "its base policy: tiny, a folder's name, or a hub id"),
    Column("weights", int, "its number of weights, norms and biases left out; empty where its sizes are not known"),
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
)
