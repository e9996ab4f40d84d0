"""Tables that a result reads, through manifests, for exactly the named runs, and SQL over them.

Knows folders and runs, not what the columns mean.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from tokenspectrum.errors import UserError
from tokenspectrum.results.csvfile import read_plain
from tokenspectrum.results.sources import SOURCES, Place, Wanted
from tokenspectrum.results.sql import one_line, query_text, view_sql
from tokenspectrum.tokenlog.reader import check_folder

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# What a query is refused for whatever the files hold.
_OF_THE_QUERY = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.SyntaxException)


@dataclass(frozen=True)
class Tables:
    """`roots[source]` is where a source's folder lies; `package` is the result's, where its SQL files are.

    `folder` is the user's own, where the result declares one.
    `asked` is where the CSVs of the results lie that it reads, and `ruled` where the rules of methods do.
    """

    roots: Mapping[str, Path]
    wanted: Wanted
    package: str
    folder: Path | None = None
    asked: Mapping[str, Path] = field(default_factory=dict)
    ruled: Mapping[str, Path] = field(default_factory=dict)
    _files: dict[str, dict[str, list[str]]] = field(default_factory=dict, repr=False)
    _held: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)
    _lasting: list[duckdb.DuckDBPyConnection] = field(default_factory=list, repr=False)

    def files(self, source: str) -> dict[str, list[str]]:
        """Table -> files of one source; a UserError where a folder is incomplete, damaged, or of another run."""
        if source not in self._files:
            found: dict[str, list[str]] = {}
            for place in SOURCES[source].places(self.roots[source], self.wanted):
                for table, name in _listed(place):
                    found.setdefault(table, []).append(name)
            self._files[source] = found
        return self._files[source]

    def answers(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of every result that it reads, by the result's name; results that the params lack are not there."""
        return {name: read_plain(path) for name, path in self.asked.items()}

    def rules(self) -> dict[str, dict[str, Any]]:
        """The resolved rule of every method that it reads the rule of, by the method's name."""
        return {name: json.loads(path.read_text()) for name, path in self.ruled.items()}

    def query(
        self, sql: str, *, of: Sequence[str] | None = None, macros: Sequence[str] = (), **values: Any
    ) -> list[dict[str, Any]]:
        """Rows of the SQL file `sql` of the result's folder, over views of the tables that it reads.

        `of` names the sources that the views hold (default: all that the result reads), `macros` further SQL files that
        run first, `values` are the query's `$parameters`.  Name files by literals.  One thread, so that sums keep
        their order.
        """
        return self._rows(query_text(sql, self.package), of, macros, values, self._path(sql))

    def ask(
        self, text: str, *, of: Sequence[str] | None = None, macros: Sequence[str] = (), **values: Any
    ) -> list[dict[str, Any]]:
        """The same for the text of a query."""
        return self._rows(text, of, macros, values, f"a query of {self.package}")

    def arrays(
        self,
        sql: str,
        *,
        of: Sequence[str] | None = None,
        within: tuple[int, int] | None = None,
        **values: Any,
    ) -> "dict[str, np.ndarray]":
        """The columns of `query`'s answer, for answers of a row a token: numbers in a few bytes each.

        They come in the order of the rows in the files, or that of the query.  Of responses `within` a first and a last
        one, which are the query's $first and $last, those files alone are opened that may hold some.
        """
        if within is not None:
            values |= {"first": within[0], "last": within[1]}
        # One connection for all blocks: to make one takes as long as to read half a million tokens.
        if not self._lasting:
            self._lasting.append(duckdb.connect(config={"threads": 1}))
        with self._viewed(self._lasting[0], of, self._path(sql), within) as connection:
            # Arrow takes half the time of DuckDB's own way to numpy.
            answer = connection.sql(query_text(sql, self.package), params=values).to_arrow_table()
        return {name: _array(column) for name, column in zip(answer.column_names, answer.columns, strict=True)}

    def over(self, sql: str, *, values: Mapping[str, Any] | None = None, **given: "pa.Table") -> list[dict[str, Any]]:
        """Rows of the SQL file over tables that were made in memory, by name; `values` are its `$parameters`."""
        with duckdb.connect(config={"threads": 1}) as connection:
            for name, table in given.items():
                connection.register(name, table)
            try:
                return _rows(connection.execute(query_text(sql, self.package), values))
            except _OF_THE_QUERY as e:
                raise UserError(f"{self._path(sql)}: {one_line(e)}") from None

    def _path(self, sql: str) -> str:
        """Where the SQL file of the result lies."""
        return f"src/{self.package.replace('.', '/')}/{sql}"

    def _rows(
        self, text: str, of: Sequence[str] | None, macros: Sequence[str], values: Mapping[str, Any], where: str
    ) -> list[dict[str, Any]]:
        with duckdb.connect(config={"threads": 1}) as one, self._viewed(one, of, where) as connection:
            for name in macros:
                connection.execute(query_text(name))
            return _rows(connection.execute(text, values))

    @contextmanager
    def _viewed(
        self,
        connection: duckdb.DuckDBPyConnection,
        of: Sequence[str] | None,
        where: str,
        within: tuple[int, int] | None = None,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection with the views; what goes wrong on it is told by the query's place, or by the tables."""
        files: dict[str, list[str]] = {}
        for source in self.roots if of is None else of:
            for table, names in self.files(source).items():
                files.setdefault(table, []).extend(names)
        try:
            for table, names in files.items():
                connection.execute(view_sql(table, names if within is None else self._near(names, within)))
            try:
                yield connection
            except _OF_THE_QUERY as e:
                raise UserError(f"{where}: {one_line(e)}") from None
            for table in files:
                connection.execute(f"DROP VIEW {table}")
        except duckdb.Error as e:
            raise UserError(f"table {' and '.join(files)}: {one_line(e)}; run the stage that makes it again") from None

    def _near(self, names: list[str], within: tuple[int, int]) -> list[str]:
        """Those of the files that may hold responses between the two; the first of them where none does."""
        if len(names) == 1:
            return names
        for name in names:
            if name not in self._held:
                self._held[name] = _responses_in(name)
        near = [name for name in names if self._held[name][0] <= within[1] and self._held[name][1] >= within[0]]
        return near or names[:1]


def _responses_in(name: str) -> tuple[float, float]:
    """The least and the greatest response_id of a file, by its footer; all numbers where that does not say."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(name)
    except (pa.ArrowException, OSError):
        return -math.inf, math.inf  # DuckDB will say what is wrong with it
    column = footer.schema.names.index("response_id") if "response_id" in footer.schema.names else None
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    found = [None if column is None else group.column(column).statistics for group in groups]
    known = [(one.min, one.max) for one in found if one is not None and one.has_min_max]
    if len(known) < len(found):
        return -math.inf, math.inf
    return min((least for least, _ in known), default=math.inf), max((most for _, most in known), default=-math.inf)


def _array(column: "pa.ChunkedArray") -> "np.ndarray":
    """Numbers as numpy has them; masked where some are null.  By buffers: pyarrow's own way would import pandas."""
    import numpy as np
    import pyarrow as pa

    found, known = [], []
    for chunk in column.chunks or [pa.nulls(0, column.type)]:
        valid, values = chunk.buffers()
        bare = pa.Array.from_buffers(chunk.type, len(chunk), [None, values], offset=chunk.offset)
        found.append(np.from_dlpack(bare))
        if column.null_count:
            bits = np.frombuffer(valid, np.uint8) if valid else np.full(chunk.offset + len(chunk), 255, np.uint8)
            known.append(np.unpackbits(bits, bitorder="little")[chunk.offset :][: len(chunk)] > 0)
    array = np.concatenate(found) if len(found) > 1 else found[0]
    return np.ma.masked_array(array, ~np.concatenate(known)) if known else array


def _rows(answer: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    columns = [column[0] for column in answer.description]
    return [dict(zip(columns, row, strict=True)) for row in answer.fetchall()]


def _listed(place: Place) -> Iterator[tuple[str, str]]:
    """Table and path of every Parquet file of a place, sorted."""
    folder, first = place.folder, place.tables[0]
    names = sorted(name for name in check_folder(folder)["files"] if name.endswith(".parquet"))
    keys = [f"{key}={value}" for key, value in (("run", place.run), ("seed", place.seed)) if value is not None]
    # A Hive tree begins with its table's name; a plain folder holds the one table of its source.
    found = [(parts[0] if (parts := name.split("/"))[0] in place.tables else first, name, parts) for name in names]
    whose = f" of run {place.run}" if place.run is not None and place.seed is None else ""
    if place.seed is None:
        found = [one for one in found if set(keys) <= set(one[2])]
    if first not in {table for table, _, _ in found}:
        raise UserError(f"{folder}: no rows of table {first}{whose}; delete it and run its stage again")
    for table, name, parts in found:
        if not set(keys) <= set(parts):
            raise UserError(
                f"{folder / name}: not of run {place.run} seed {place.seed}; delete the folder and run its stage again"
            )
        yield table, (folder / name).as_posix()
