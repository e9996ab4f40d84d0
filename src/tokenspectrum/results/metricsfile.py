"""A result's main numbers as JSON, which `dvc metrics` reads: row label -> column -> number.  Knows no result."""

import json
from collections.abc import Mapping, Sequence

from tokenspectrum.results.declare import Column, Value


def to_metrics(columns: Sequence[Column], names: Sequence[str], rows: Sequence[Mapping[str, Value]]) -> str:
    """The columns `names` of every row, under the row's first column; a missing number is left out.

    A name in angle brackets means every column that the result does not declare by name, as in the CSV.
    """
    declared = {column.name for column in columns}
    out = {}
    for row in rows:
        open_names = [name for name in row if name not in declared]
        wanted = [n for name in names for n in (open_names if name.startswith("<") else [name])]
        out[str(row[columns[0].name])] = {name: row[name] for name in wanted if row.get(name) is not None}
    return json.dumps(out, indent=1, ensure_ascii=False) + "\n"
