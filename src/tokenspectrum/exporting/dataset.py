"""The token log as a dataset folder: a configuration a table, a split a run, and a card that says what it is.

    DIR/README.md                the card; its YAML is what `datasets.load_dataset(DIR, "tokens", split="full")` reads
    DIR/tokens/full.parquet      all rows of run full, with the columns run, seed and step

Knows the token database and the schemas.  Knows no stage.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import yaml

from tokenspectrum.errors import UserError
from tokenspectrum.exporting.folder import all_or_nothing
from tokenspectrum.results.output import write_parquet_file
from tokenspectrum.results.sql import one_line
from tokenspectrum.tables.registry import MODULES, TABLES
from tokenspectrum.tokenlog.writer import atomic_path

WHOLE = ("prompts", "vocab")  # tables without a run, which every export holds: one split
WHOLE_SPLIT = "whole"  # datasets keeps "all" for itself


def write_dataset(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    tables: Sequence[str],
    runs: Sequence[str],
    about: Mapping[str, str],
) -> dict[str, dict[str, int]]:
    """Write the folder; rows by table and split.  `runs`: those wanted, all if empty.  UserError if there are none."""
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty; give a new folder")
    for table in tables:
        if table not in TABLES:
            raise UserError(f"--tables: no table {table}; there are {', '.join(TABLES)}")
    rows: dict[str, dict[str, int]] = {}
    for table in (*WHOLE, *(t for t in tables if t not in WHOLE)):
        with _damage(table):
            found = _splits(connection, table)
        wanted = {s: n for s, n in found.items() if not runs or table in WHOLE or s in runs}
        if wanted:
            rows[table] = wanted
    known = {split for table, splits in rows.items() if table not in WHOLE for split in splits}
    if missing := [run for run in runs if run not in known]:
        raise UserError(f"--run {missing[0]}: no table has a row of it; `spectrum sql` says what there is")
    if not known and (not rows or set(tables) - set(WHOLE)):
        raise UserError("export: no run has been logged yet; `spectrum status` says what is missing")
    if "all" in known:
        raise UserError("export: a run is called all, which datasets takes for every split; export others by --run")
    with all_or_nothing(folder):
        for table, splits in rows.items():
            for split in splits:
                path = folder / table / f"{split}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                with _damage(table):
                    write_parquet_file(connection.sql(_query(table, split)), path)
        with atomic_path(folder / "README.md") as temporary:
            temporary.write_text(card(rows, about), encoding="utf-8")
    return rows


@contextmanager
def _damage(table: str) -> Iterator[None]:
    """What the database says of a table that cannot be read, as one line."""
    try:
        yield
    except duckdb.Error as e:
        raise UserError(f"{table}: {one_line(e)}; run the stage that makes it again") from None


def _splits(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
    if table in WHOLE:
        [(n,)] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        return {WHOLE_SPLIT: n} if n else {}
    return dict(connection.execute(f"SELECT run, count(*) FROM {table} GROUP BY run ORDER BY run").fetchall())


def _query(table: str, split: str) -> str:
    """Rows in the order of the table's key, so that the same log gives the same file.  `split` is a name of ours."""
    key = ", ".join((TABLES[table].metadata or {})[b"key"].decode().split(","))
    where = "" if table in WHOLE else f" WHERE run = '{split.replace(chr(39), chr(39) * 2)}'"
    return f"SELECT * FROM {table}{where} ORDER BY {key}"


def card(rows: Mapping[str, Mapping[str, int]], about: Mapping[str, str]) -> str:
    """The dataset card: YAML for the libraries, then what the tables are and how they were made."""
    head: dict[str, Any] = {
        "license": about["license"],
        "pretty_name": f"Token log of {about['preset']}",
        "tags": ["tokenspectrum", "reinforcement-learning", "rlvr"],
        "configs": [
            {
                "config_name": table,
                "data_files": [{"split": split, "path": f"{table}/{split}.parquet"} for split in splits],
            }
            for table, splits in rows.items()
        ],
    }
    blocks = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# Token log of {about['preset']}",
        "Every response token that was sampled, scored and trained on, as written by Tokenspectrum: "
        f"policy `{about['policy']}`, preset `{about['preset']}`.",
        f'```python\nfrom datasets import load_dataset\n\nrows = load_dataset("FOLDER", "{next(iter(rows))}")\n```',
        "## How it was made",
        about["made"],
        f"A split is a run. {' and '.join(f'`{table}`' for table in WHOLE)} belong to no run and have the one split "
        f"`{WHOLE_SPLIT}`. Run `base` is the base policy before training; in its probe's tables, `seed` is the number "
        "of the base policy. Elsewhere `seed` is the replicate's. `step` is the training step, 0 for the base policy.",
        "## Tables",
    ]
    for module in MODULES:
        name = module.__name__.rpartition(".")[2]
        if name in rows:
            blocks.append(_section(name, module.__doc__ or "", rows[name]))
    return "\n\n".join(blocks) + "\n"


def _section(name: str, doc: str, splits: Mapping[str, int]) -> str:
    what = doc.split("\n")[0].partition(": ")[2]
    counts = ", ".join(f"{split} {n:,}" for split, n in splits.items())
    lines = [
        f"### {name}",
        "",
        f"{what[0].upper()}{what[1:]} Rows: {counts}.",
        "",
        "| feature | type | |",
        "|---|---|---|",
    ]
    for f in TABLES[name]:
        about = (f.metadata or {}).get(b"description", b"").decode().replace("|", "\\|")
        lines.append(f"| {f.name} | {f.type} | {about} |")
    return "\n".join(lines)
