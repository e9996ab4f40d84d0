"""Read what is shown: one column of a whole step, or all rows of one response, with damage told in one line.

Knows how token tables lie in Parquet files; knows no DuckDB and no page.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokenspectrum.errors import UserError
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.view import evaluated
from tokenspectrum.view.columns import PARTS, Column, fields
from tokenspectrum.view.marks import Mark, mark
from tokenspectrum.view.steps import Step

_SMALL = 200_000  # rows


def read_parts(paths: Sequence[Path], columns: list[str]) -> pa.Table:
    """These columns of a table's files, one after the other; a UserError names the file that cannot be read."""
    return pa.concat_tables([_read(path, columns) for path in paths])


def _read(path: Path, columns: list[str]) -> pa.Table:
    file = _open(path)
    for name in columns:
        if name not in file.schema_arrow.names:
            raise _older(path, name)
    try:
        # A run leaves thousands of small files: handing each to other threads takes longer than reading it.
        return file.read(columns=columns, use_threads=file.metadata.num_rows > _SMALL)
    except (pa.ArrowException, OSError) as e:
        raise _damaged(path, e) from None


def token_keys(step: Step) -> np.ndarray:
    """int64 N: response_id * 2^32 + position of every logged token, in the order of the table `tokens`."""
    if "evaluated" in step.files:
        return _keys(evaluated.tokens(step.files["evaluated"]))
    return _keys(read_parts(step.files["tokens"], ["response_id", "position"]))


def column_values(step: Step, column: Column) -> np.ndarray:
    """float32 N: the column for every token of the step in the order of the table `tokens`; NaN where there is none."""
    if column.id == evaluated.COLUMN and "evaluated" in step.files:
        return _floats(evaluated.tokens(step.files["evaluated"])["rollout_logprob"])
    if column.table not in step.files:
        return np.full(len(token_keys(step)), np.nan, np.float32)
    if column.table == "tokens":
        return _floats(read_parts(step.files["tokens"], [column.field])[column.field])
    paths = [path for path in step.files[column.table] if may_hold(path, column)]
    wanted_N = token_keys(step)
    if not paths:
        return np.full(len(wanted_N), np.nan, np.float32)
    key = PARTS[column.table]
    rows = read_parts(paths, ["response_id", "position", column.field, *([] if key is None else [key])])
    if key is not None:
        rows = where(rows, key, column.part)
    return align(wanted_N, _keys(rows), _floats(rows[column.field]))


def where(rows: pa.Table, name: str, value: object) -> pa.Table:
    """The rows with this value in a column; text is read as the column's type."""
    wanted = pa.scalar(value).cast(rows.schema.field(name).type)
    return rows.filter(pc.call_function("equal", [rows[name], wanted]))


def align(wanted_N: np.ndarray, key_M: np.ndarray, value_M: np.ndarray) -> np.ndarray:
    """The values in the order of the wanted keys, NaN for keys without one.  Nearly always both orders are the same."""
    if np.array_equal(wanted_N, key_M):
        return value_M
    out_N = np.full(len(wanted_N), np.nan, np.float32)
    if len(key_M):
        order_M = np.argsort(key_M, kind="stable")
        at_N = np.minimum(np.searchsorted(key_M[order_M], wanted_N), len(key_M) - 1)
        hit_N = key_M[order_M][at_N] == wanted_N
        out_N[hit_N] = value_M[order_M][at_N][hit_N]
    return out_N


def may_hold(path: Path, column: Column) -> bool:
    """Whether a rule's rows can be in this file: by its statistics, without reading it."""
    if column.table != "weights":
        return True
    ends = _range(path, "rule")
    return ends is None or ends[0] <= (column.part or "") <= ends[1]


def parts_of(step: Step, table: str) -> list[str]:
    """The layers or rules that the table has at this step, as text in order."""
    key = PARTS[table]
    if key is None:
        return []
    values = read_parts(step.files[table], [key])[key].unique().to_pylist()
    return [str(value) for value in sorted(values)]


def empty_fields(step: Step, table: str) -> set[str]:
    """The fields that are null in every row, by the files' statistics."""
    empty = {f.name for f in fields(table)}
    for path in step.files[table]:
        meta = _open(path).metadata
        at = {meta.schema.column(i).name: i for i in range(meta.num_columns)}
        for g in range(meta.num_row_groups):
            group = meta.row_group(g)
            for name in [name for name in empty if name in at]:
                stats = group.column(at[name]).statistics
                if stats is None or not stats.has_null_count or stats.null_count < group.num_rows:
                    empty.discard(name)
    return empty


def response_rows(paths: Sequence[Path], response_id: int) -> pa.Table:
    """All rows of one response.  Only row groups that can hold it are read, and they are kept for its neighbours."""
    parts = []
    for path in paths:
        groups = _groups(path, response_id)
        for g in groups:
            part = _group(path, mark(path), g)
            parts.append(where(part, "response_id", response_id))
    if not parts:
        return read_file(paths[0]).slice(0, 0) if paths else pa.table({})
    return pa.concat_tables(parts)


def _groups(path: Path, response_id: int) -> list[int]:
    meta = _open(path).metadata
    at = next((i for i in range(meta.num_columns) if meta.schema.column(i).name == "response_id"), None)
    if at is None:
        raise _older(path, "response_id")
    chosen = []
    for g in range(meta.num_row_groups):
        stats = meta.row_group(g).column(at).statistics
        if stats is None or not stats.has_min_max or stats.min <= response_id <= stats.max:
            chosen.append(g)
    return chosen


@lru_cache(maxsize=12)  # a group is about a million rows; the neighbours of a response share it
def _group(path: Path, stamp: Mark, group: int) -> pa.Table:
    try:
        return _open(path).read_row_group(group)
    except (pa.ArrowException, OSError) as e:
        raise _damaged(path, e) from None


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise UserError(f"{path}: gone; its run began again or was removed") from None
    except (pa.ArrowException, OSError) as e:
        raise _damaged(path, e) from None


def _older(path: Path, column: str) -> UserError:
    return UserError(f"{path}: no column {column}; an older version made it: run its stage again")


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}); run its stage again")


def _range(path: Path, name: str) -> tuple[str, str] | None:
    """The least and the largest value of a column, by the file's statistics; None where it has none."""
    meta = _open(path).metadata
    at = next(i for i in range(meta.num_columns) if meta.schema.column(i).name == name)
    all_stats = [meta.row_group(g).column(at).statistics for g in range(meta.num_row_groups)]
    if not all_stats or any(stats is None or not stats.has_min_max for stats in all_stats):
        return None
    return min(stats.min for stats in all_stats), max(stats.max for stats in all_stats)


def _keys(rows: pa.Table) -> np.ndarray:
    response_N, position_N = (rows[name].to_numpy().astype(np.int64) for name in ("response_id", "position"))
    return (response_N << 32) | position_N


def _floats(values: pa.ChunkedArray) -> np.ndarray:
    return values.cast(pa.float32()).to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
