"""Tables that a result reads, through manifests, for exactly the named runs, and SQL over them.

Knows folders and runs, not what the columns mean.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

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
        with self._asked(query_text(sql, self.package), of, macros, values, self._path(sql)) as answer:
            return _rows(answer)

    def ask(
        self, text: str, *, of: Sequence[str] | None = None, macros: Sequence[str] = (), **values: Any
    ) -> list[dict[str, Any]]:
        """The same for the text of a query."""
        with self._asked(text, of, macros, values, f"a query of {self.package}") as answer:
            return _rows(answer)

    def arrays(
        self, sql: str, *, of: Sequence[str] | None = None, macros: Sequence[str] = (), **values: Any
    ) -> "dict[str, np.ndarray]":
        """The columns of `query`'s answer, for answers of a row a token: numbers in a few bytes each."""
        with self._asked(query_text(sql, self.package), of, macros, values, self._path(sql)) as answer:
            return cast("dict[str, np.ndarray]", answer.fetchnumpy())

    def over(self, sql: str, **given: "pa.Table") -> list[dict[str, Any]]:
        """Rows of the SQL file over tables that were made in memory, by name."""
        with duckdb.connect(config={"threads": 1}) as connection:
            for name, table in given.items():
                connection.register(name, table)
            try:
                return _rows(connection.execute(query_text(sql, self.package)))
            except _OF_THE_QUERY as e:
                raise UserError(f"{self._path(sql)}: {one_line(e)}") from None

    def _path(self, sql: str) -> str:
        """Where the SQL file of the result lies."""
        return f"src/{self.package.replace('.', '/')}/{sql}"

    @contextmanager
    def _asked(
        self, text: str, of: Sequence[str] | None, macros: Sequence[str], values: Mapping[str, Any], where: str
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        files: dict[str, list[str]] = {}
        for source in self.roots if of is None else of:
            for table, names in self.files(source).items():
                files.setdefault(table, []).extend(names)
        with duckdb.connect(config={"threads": 1}) as connection:
            try:
                for table, names in files.items():
                    connection.execute(view_sql(table, names))
                for name in macros:
                    connection.execute(query_text(name))
                try:
                    answer = connection.execute(text, values)
                except _OF_THE_QUERY as e:
                    raise UserError(f"{where}: {one_line(e)}") from None
                yield answer
            except duckdb.Error as e:
                raise UserError(
                    f"table {' and '.join(files)}: {one_line(e)}; run the stage that makes it again"
                ) from None


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
