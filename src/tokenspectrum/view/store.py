"""What the page asks, answered: responses by filters, the cloud of two columns, scales, and one response whole.

Holds the responses and the bins of the tokens in a sealed DuckDB; values of single responses come from the files.  Two
locks: questions to the database take turns, and reading a column of all tokens, which may take seconds, holds up only
those that want such columns.  Knows no HTTP.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from tokenspectrum.errors import UserError
from tokenspectrum.view import evaluated, read
from tokenspectrum.view.bins import BINS
from tokenspectrum.view.columns import PARTS, Column, columns, fields, find_column
from tokenspectrum.view.filters import Brush, Filters
from tokenspectrum.view.marks import Mark, mark
from tokenspectrum.view.packed import Packed
from tokenspectrum.view.prompts import Problems
from tokenspectrum.view.sealed import checked, insert, open_sealed, replace, rows
from tokenspectrum.view.steps import Found, Key, Step, find_steps

_KEPT = ("response_id", "prompt_id", "sample", "text", "n_prompt", "n_tokens", "finish_reason")
_KEPT += ("answer", "reward", "reward_raw", "correct", "advantage")
JUDGED = ("reward", "reward_raw", "advantage")  # what may be no finite number
_AT_ONCE = 64  # steps read between two looks at the lock
# Of a step, or of one file: whether its run trains, and the files of each table.
_Shape = tuple[bool, dict[str, list[tuple[str, Mark]]]]


class Store:
    """The tables of one preset.  `refresh` reads what is new; everything else answers from what was read."""

    def __init__(self, artifacts: Path, checkpoints: Path | None = None, threads: int = 2) -> None:
        self.artifacts, self.checkpoints, self.threads = artifacts, checkpoints, threads
        self._lock, self._packing = threading.RLock(), threading.RLock()
        self.version = 0
        self.begun = 0  # how often reading began: what a page keeps of before is old
        self.progress = (0, 0)
        self._clear()

    def _clear(self) -> None:
        self.connection: duckdb.DuckDBPyConnection = open_sealed(self.threads)
        self.steps: dict[Key, Step] = {}
        self._seen: dict[Key | Path, _Shape] = {}  # what was read, damaged or not
        self.problems = Problems()
        self.packed = Packed(self._has, self._note)
        self.found_notices: list[str] = []
        self.read_notices: list[str] = []
        self._n, self._n_odd = 0, 0
        self._parts: dict[str, Counter[str | None]] = {}  # table -> layer or rule -> runs that have it
        self._empty: dict[str, set[str]] = {}
        self._logged: dict[tuple[str, int], set[tuple[str, str | None]]] = {}  # run and seed -> tables and parts

    def _note(self, line: str) -> None:
        if line not in self.read_notices:
            self.read_notices.append(line)

    @property
    def notices(self) -> list[str]:
        """One line for each thing that is missing or damaged."""
        lines = [*self.found_notices, *self.read_notices]
        if not self.steps and self.progress[1] == 0:
            lines.append(f"{self.artifacts}: no responses yet; the page fills when the rollouts stage is done")
        elif self.steps and "attention" not in self._parts:
            lines.append("no attention was logged here: outlines go by predictive entropy alone")
        if self._n_odd:
            lines.append(f"responses whose reward or advantage is no finite number: {self._n_odd}")
        return lines

    # --- reading what is new ---------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read steps that are new; start over when a file that was read, or refused as damaged, is gone or another."""
        found = find_steps(self.artifacts, self.checkpoints)
        shapes = _shapes(found)
        with self._packing, self._lock:
            if any(key not in shapes or _differ(old, shapes[key]) for key, old in self._seen.items()):
                self._clear()
                self.begun, self.version = self.begun + 1, self.version + 1
            if found.notices != self.found_notices:
                self.found_notices, self.version = found.notices, self.version + 1
            for key in self.steps:  # a run that ended has its files elsewhere now, with the same bytes
                if self.steps[key].live != found.steps[key].live:
                    self.version += 1
                self.steps[key].files, self.steps[key].live = found.steps[key].files, found.steps[key].live
                self._seen[key] = shapes[key]
            self._seen |= {key: shape for key, shape in shapes.items() if isinstance(key, Path)}
            try:
                self.problems.update(found.plain, found.policies)
            except UserError as e:
                self._note(str(e))
        new = [step for key, step in found.steps.items() if key not in self._seen and step.has_responses]
        new.sort(key=lambda step: (step.run != "base", step.key))
        for start in range(0, len(new), _AT_ONCE):
            with self._lock:
                for step in new[start : start + _AT_ONCE]:
                    self._seen[step.key] = shapes[step.key]
                self._read(new[start : start + _AT_ONCE])
                self.progress = (min(start + _AT_ONCE, len(new)), len(new))
                self.version += 1
        self.version += bool(new)
        self.progress = (0, 0)

    def _read(self, steps: list[Step]) -> None:
        tables = []
        for step in steps:
            try:
                self._look(step)
                if "evaluated" in step.files:
                    table = evaluated.response_rows(step.files["evaluated"], step.files["scores"]).select(list(_KEPT))
                else:
                    table = read.read_parts(step.files["responses"], list(_KEPT))
            except UserError as e:
                self._note(str(e))
                continue
            n = table.num_rows
            self._n_odd += _count_odd(table)
            self.packed.add(step, table["response_id"].to_numpy().astype(np.int64), self._n)
            self.steps[step.key] = step
            sources = [self.problems.source(prompt_id) for prompt_id in table["prompt_id"].to_pylist()]
            keys = {
                "r": pa.array(np.arange(self._n, self._n + n, dtype=np.int32)),
                "source": pa.array(sources, pa.string()),
            }
            keys |= {"run": pa.repeat(step.run, n), "seed": pa.repeat(step.seed, n), "step": pa.repeat(step.step, n)}
            for name, values in keys.items():
                table = table.append_column(name, values)
            tables.append(table)
            self._n += n
        if tables:
            insert(self.connection, "responses", pa.concat_tables(tables, promote_options="default"))

    def _look(self, step: Step) -> None:
        """Which layers and rules a run has, and which columns are empty: read off its first step with each table.

        Gradients are taken apart at some steps alone, which need not be a run's first.
        """
        logged = self._logged.setdefault((step.run, step.seed), set())
        known = {table for table, _ in logged}
        if "evaluated" in step.files and "tokens" not in known:
            logged.add(("tokens", None))
            self._parts.setdefault("tokens", Counter()).update([None])
            others = {f.name for f in fields("tokens")} - {evaluated.COLUMN.partition(".")[2]}
            self._empty["tokens"] = self._empty.get("tokens", others) & others
        for table, key in PARTS.items():
            if table not in step.files or table in known:
                continue
            parts = [None] if key is None else read.parts_of(step, table)
            empty = read.empty_fields(step, table)
            self._parts.setdefault(table, Counter()).update(parts)
            logged |= {(table, part) for part in parts}
            self._empty[table] = self._empty.get(table, empty) & empty

    def _has(self, step: Step, column: Column) -> bool:
        """Whether the step has the column's table, and its run the layer or the rule."""
        here = column.table in step.files or "evaluated" in step.files
        return here and (column.table, column.part) in self._logged.get((step.run, step.seed), ())

    # --- answers ---------------------------------------------------------------------------------------------------

    @contextmanager
    def turn(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The database for one question."""
        with self._lock:
            yield self.connection

    def columns(self) -> list[Column]:
        """Every column that some token has a value in."""
        with self._lock:
            parts = {table: sorted(p, key=_natural) for table, p in self._parts.items()}
            every = columns(parts)
            return [column for column in every if column.field not in self._empty.get(column.table, set())]

    def files(self, table: str) -> list[Path]:
        """The files of a table, of all steps that were read so far."""
        with self._lock:
            return [path for step in self.steps.values() for path in step.files.get(table, [])]

    def column(self, name: str) -> Column:
        return find_column(self.columns(), name)

    def state(self) -> dict[str, Any]:
        """What there is: runs with their steps, sources, columns, notices, and how far reading has come."""
        with self.turn() as db:
            _, runs = rows(db, checked(("facets.sql",)), {})
            _, sources = rows(db, checked(("sources.sql",)), {})
            return self._state(runs, sources)

    def _state(self, runs: list[Any], sources: list[Any]) -> dict[str, Any]:
        """Who asks holds the lock: more may be read at any time."""
        live = {step.key[:2] for step in self.steps.values() if step.live}
        return {
            "version": self.version,
            "begun": self.begun,
            "title": self.artifacts.name,
            "runs": [
                {"run": run, "seed": seed, "steps": steps, "responses": n, "live": (run, seed) in live}
                for run, seed, steps, n in runs
            ],
            "sources": [source for source, _ in sources],
            "columns": [
                {"id": c.id, "table": c.table, "field": c.field, "part": c.part, "description": c.description}
                | {"runs": self._parts[c.table][c.part]}
                for c in self.columns()
            ],
            "notices": self.notices,
            "reading": self.progress,
        }

    def responses(self, filters: Filters, brush: Brush | None, page: dict[str, Any]) -> dict[str, Any]:
        """A page of responses in order, and how many there are in all."""
        values = filters.values() | page
        chosen = "chosen.sql" if brush is None else "chosen_brushed.sql"
        with self._packed_turn(*(() if brush is None else (brush.x, brush.y))) as (db, names):
            values |= self._bins(brush)
            head, body = rows(db, checked(("matching.sql", chosen, "keyed.sql", "list.sql"), names), values)
            sums = body[0][-3:] if body else None
            if sums is None:
                _, [sums] = rows(db, checked(("matching.sql", chosen, "count.sql"), names), values)
        found = [dict(zip(head[:-3], row[:-3], strict=True)) for row in body]
        return {**dict(zip(("total", "tokens", "correct"), sums, strict=True)), "offset": page["offset"], "rows": found}

    def place(
        self, filters: Filters, brush: Brush | None, page: dict[str, Any], key: Key, response_id: int
    ) -> dict[str, int | None]:
        """Where a response stands in the list of these filters and this order, from 0; None where they leave it out."""
        of = dict(zip(("of_run", "of_seed", "of_step", "of_response"), (*key, response_id), strict=True))
        values = filters.values() | page | of
        chosen = "chosen.sql" if brush is None else "chosen_brushed.sql"
        with self._packed_turn(*(() if brush is None else (brush.x, brush.y))) as (db, names):
            values |= self._bins(brush)
            _, body = rows(db, checked(("matching.sql", chosen, "keyed.sql", "place.sql"), names), values)
        return {"place": body[0][0] if body else None}

    def _bins(self, brush: Brush | None) -> dict[str, int]:
        """What a brush is in bins now.  Asked in the turn of its columns: their scales are made anew between turns."""
        if brush is None:
            return {}
        x, y = (
            self.packed.bins_within(self.column(name), ends)
            for name, ends in ((brush.x, brush.x_ends), (brush.y, brush.y_ends))
        )
        return dict(zip(("x_from", "x_to", "y_from", "y_to"), (*x, *y), strict=True))

    def cloud(self, x: str, y: str, filters: Filters) -> dict[str, Any]:
        """Tokens of the matching responses by bin of x and of y, as three lists; bin BINS: those without a value."""
        parts = ("cloud_all.sql",) if filters.all else ("matching.sql", "cloud.sql")
        with self._packed_turn(x, y) as (db, names):
            _, body = rows(db, checked(parts, names), filters.values())
        return {"bins": BINS, **{name: [row[i] for row in body] for i, name in enumerate(("x", "y", "n"))}}

    def scale(self, name: str) -> dict[str, Any]:
        """The range that colours and the cloud share for a column."""
        return asdict(self.packed.scale(self.column(name)))

    @contextmanager
    def _packed_turn(self, *names: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, tuple[tuple[str, str], ...]]]:
        """The database with these columns in its table `packed`, and what they are called there: x first, then y."""
        if not names:
            with self.turn() as db:
                yield db, ()
            return
        wanted = [self.column(name) for name in names]
        with self._packing:
            if self.packed.load(wanted):
                table = self.packed.table()
                with self.turn() as db:
                    replace(db, "packed", table)
            words = zip(("column_x", "column_y"), wanted, strict=True)
            with self.turn() as db:
                yield db, tuple((word, self.packed.names[column.id]) for word, column in words)


def _shapes(found: Found) -> dict[Key | Path, _Shape]:
    """The shape of every step, and of every file of problems and of the vocabulary."""
    shapes: dict[Key | Path, _Shape] = {
        key: (step.live, {table: [(path.name, mark(path)) for path in paths] for table, paths in step.files.items()})
        for key, step in found.steps.items()
    }
    return shapes | {
        path: (False, {t: [(path.name, mark(path))]}) for t, paths in found.plain.items() for path in paths
    }


def _differ(old: _Shape, new: _Shape) -> bool:
    """Whether files are others now.  Those of a run that ended lie elsewhere with the same bytes, under other times."""
    if old[0] and not new[0]:
        return _sizes(old) != _sizes(new)
    return old != new


def _sizes(shape: _Shape) -> dict[str, list[tuple[str, int]]]:
    return {table: [(name, size) for name, (size, *_) in files] for table, files in shape[1].items()}


def _count_odd(responses: pa.Table) -> int:
    """How many have a reward or an advantage that is NaN or infinite; null is neither."""
    odd_R = np.zeros(responses.num_rows, bool)
    for name in JUDGED:
        odd_R |= ~np.isfinite(responses[name].fill_null(0).to_numpy())
    return int(odd_R.sum())


def _natural(part: str | None) -> tuple[int, str]:
    """Layers by number, rules by name."""
    return (int(part), "") if part and part.isdigit() else (-1, part or "")
