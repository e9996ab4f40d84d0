"""Rows of gradient tables: whose they are, and which subsets the stage makes by itself.  Knows no result."""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenspectrum.params.replicates import Replicate
from tokenspectrum.results.measured import BASE

Row = dict[str, Any]


def of_base(row: Row, replicates: Sequence[Replicate]) -> Row:
    """The row with `base` in front, and with the training seed, None for the base policy itself.

    Rows of the base policy have its number as seed.
    """
    bases: Mapping[int, int] = {replicate.seed: replicate.base for replicate in replicates}
    own = row["run"] == BASE
    base, seed = (row["seed"], None) if own else (bases[row["seed"]], row["seed"])
    return {"run": row["run"], "base": base, "seed": seed} | {k: v for k, v in row.items() if k not in ("run", "seed")}
