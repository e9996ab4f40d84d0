"""What a claim is decided from: tables of rows, and how values of training runs are read from them.

Two tables are of training runs.  `accuracy` has a row a method, seed and benchmark: method, seed, base, benchmark and
accuracy in percent; the base policy's method is `base`.  `ends` has a row a method and seed: method, seed, base and
collapsed.  The other tables are the rows of other results' CSVs, by the result's name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tokenspectrum.results.claims.judge import Finding, Paired

Row = Mapping[str, Any]
BASE, FULL = "base", "full"
AVG, HARDEST = "Avg", "hardest"


@dataclass(frozen=True)
class Facts:
    """Tables by name, and the layer that claims on attention speak of."""

    tables: Mapping[str, Sequence[Row]]
    layer: int = 0

    def rows(self, table: str, **keys: Any) -> list[Row]:
        """The rows of a table whose columns have these values, in order."""
        return [row for row in self.tables[table] if all(row[name] == value for name, value in keys.items())]

    def bases(self, *tables: str) -> list[Any]:
        """The base policies of a table, or of any of several, in order; a table that is not there has none."""
        return list(dict.fromkeys(row["base"] for table in tables for row in self.tables.get(table, ())))


def hardest(facts: Facts) -> str:
    """The benchmark on which the base policies' accuracy is lowest, mean over replicates; the first of equals."""
    rows = facts.rows("accuracy", method=BASE)
    names = dict.fromkeys(row["benchmark"] for row in rows)
    return min(names, key=lambda name: np.mean([row["accuracy"] for row in rows if row["benchmark"] == name]))


def values(facts: Facts, method: str, measure: str) -> dict[int, float]:
    """Seed -> accuracy of a method, percent: Avg, that of the hardest benchmark, or of a named one."""
    rows = facts.rows("accuracy", method=method)
    if measure != AVG:
        name = hardest(facts) if measure == HARDEST else measure
        rows = [row for row in rows if row["benchmark"] == name]
    seeds = dict.fromkeys(row["seed"] for row in rows)
    return {seed: float(np.mean([row["accuracy"] for row in rows if row["seed"] == seed])) for seed in seeds}


def less(facts: Facts, method: str, other: str, measure: str = AVG) -> Paired:
    """A method's accuracy less another's, points, over the replicates that both have, in order."""
    a, b = values(facts, method, measure), values(facts, other, measure)
    base_of = {row["seed"]: row["base"] for row in facts.rows("accuracy", method=method)}
    shared = [seed for seed in a if seed in b]
    return Paired.of([a[seed] - b[seed] for seed in shared], [base_of[seed] for seed in shared])


def of_runs(facts: Facts, finding: Finding) -> Finding:
    """The same finding with the number of base policies that training runs are on."""
    return replace(finding, bases=len({row["base"] for row in facts.tables["accuracy"]}))
