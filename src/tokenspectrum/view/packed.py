"""All tokens' bins, column by column, for the cloud: read at first use, longer with each new step.

A token costs four bytes for its response's number and one for each column in use, in numpy and again in DuckDB.  Knows
steps and bins; knows no filters.
"""

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from tokenspectrum.errors import UserError
from tokenspectrum.view.bins import MISSING, Scale, bins_within, make_scale, to_bins
from tokenspectrum.view.columns import Column
from tokenspectrum.view.read import column_values, token_keys
from tokenspectrum.view.steps import Step

# A scale is read off so many steps, spread evenly over all: colours come at once, and the cloud uses the same scale.
_SAMPLED = 48
# A scale is made anew when so many times as many steps have come in since: a run's first steps do not bound its last.
_OUTGROWN = 2


class Packed:
    """Steps in the order in which they were read, the response number of every token, and bins of columns.

    `has(step, column)` says whether the step has the column; `notice` takes a line about a damaged file.
    """

    def __init__(self, has: Callable[[Step, Column], bool], notice: Callable[[str], None]) -> None:
        self.has, self.notice = has, notice
        self.steps: list[tuple[Step, np.ndarray, int]] = []  # a step, its response ids, the number of the first
        self._numbers: list[np.ndarray] = []
        self._bins: dict[str, tuple[Scale, list[np.ndarray]]] = {}
        self._scaling = threading.Lock()
        self._scales: dict[str, tuple[Scale, int]] = {}
        self.names: dict[str, str] = {}

    def add(self, step: Step, response_ids: np.ndarray, first: int) -> None:
        """A step whose responses have the numbers first, first + 1, ...; its tokens are read when first asked for."""
        self.steps.append((step, response_ids, first))

    def scale(self, column: Column) -> Scale:
        """The column's scale.  It may be asked for while a column is read."""
        with self._scaling:
            n = len(self.steps)
            if column.id not in self._scales or n > _OUTGROWN * self._scales[column.id][1]:
                logged = [i for i in range(n) if self.has(self.steps[i][0], column)]
                sample = logged[:: max(1, len(logged) // _SAMPLED)]
                values = [np.zeros(0, np.float32), *(self._values(i, column) for i in sample)]
                self._scales[column.id] = make_scale(np.concatenate(values), column.centre), n
            return self._scales[column.id][0]

    def bins_within(self, column: Column, ends: tuple[float | None, float | None]) -> tuple[int, int]:
        """The first and the last bin that these values touch, in the bins of a column that was loaded."""
        return bins_within(*ends, self._bins[column.id][0])

    def load(self, columns: Sequence[Column]) -> bool:
        """Read these columns for the steps that they lack; whether anything was read."""
        n = len(self.steps)  # more may be added meanwhile
        self._load_numbers(n)
        read = [self._load(column, n) for column in columns]
        return any(read)

    def _load(self, column: Column, n: int) -> bool:
        scale = self.scale(column)
        made_with, have = self._bins.get(column.id, (scale, []))
        if made_with != scale:
            have = []
        self._bins[column.id] = scale, have
        self.names.setdefault(column.id, f"c{len(self.names)}")
        if len(have) == n:
            return False
        for i in range(len(have), n):
            length, value_N = len(self._numbers[i]), self._values(i, column)
            whole = len(value_N) == length
            have.append(to_bins(value_N, scale) if whole else np.full(length, MISSING, np.uint8))
        return True

    def table(self) -> pa.Table:
        """r and the bins of every column that has all steps read so far, as c0, c1, ..."""
        whole = {i: bins for i, (_, bins) in self._bins.items() if len(bins) == len(self._numbers)}
        columns = {"r": np.concatenate([np.zeros(0, np.int32), *self._numbers])}
        columns |= {self.names[i]: np.concatenate([np.zeros(0, np.uint8), *bins]) for i, bins in whole.items()}
        return pa.table(columns)

    def _load_numbers(self, n: int) -> None:
        for step, response_ids, first in self.steps[len(self._numbers) : n]:
            number_N = np.zeros(0, np.int32)
            try:
                if step.has_tokens:
                    order = np.argsort(response_ids, kind="stable")
                    at_N = np.searchsorted(response_ids[order], token_keys(step) >> 32)
                    number_N = (order[np.minimum(at_N, len(order) - 1)] + first).astype(np.int32)
            except UserError as e:
                self.notice(str(e))
            self._numbers.append(number_N)

    def _values(self, i: int, column: Column) -> np.ndarray:
        """float32 values of a step's tokens, none where it has none or its file is damaged."""
        step, _, _ = self.steps[i]
        if not step.has_tokens or not self.has(step, column):
            return np.zeros(0, np.float32)
        try:
            return column_values(step, column)
        except UserError as e:
            self.notice(str(e))
            return np.zeros(0, np.float32)
