"""docs/sql.md: its tables are those of the code, its queries run, and its macros exist."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from results_fixtures import BASES, METHODS, SEEDS, STEPS, WANTED, save_params, write_scores

from tokenspectrum.cli import results as command
from tokenspectrum.results.database import rebuild
from tokenspectrum.results.readonly import check_query, open_locked
from tokenspectrum.results.sources import SOURCES
from tokenspectrum.results.sql import query_text
from tokenspectrum.stages import result as stage
from tokenspectrum.tables.registry import MODULES
from tokenspectrum.tokenlog.writer import write_manifest

PAGE = (Path(__file__).parents[2] / "docs/sql.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
DATABASE = Path("results/tokens.duckdb")


def section(module) -> str:
    """What the page must say of a table."""
    name, about = " ".join(module.__doc__.split()).split(": ", 1)
    key = module.SCHEMA.metadata[b"key"].decode().replace(",", ", ")
    lines = [
        f"### {name}",
        "",
        f"{about[0].upper()}{about[1:]} Key: `{key}`.",
        "",
        "| column | type | |",
        "|---|---|---|",
    ]
    for field in module.SCHEMA:
        kind = str(field.type).replace("halffloat", "float16").replace("item: ", "").replace("element: ", "")
        mark = "?" if field.nullable else ""
        lines.append(f"| {field.name}{mark} | `{kind}` | {field.metadata[b'description'].decode()} |")
    return "\n".join(lines)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__.rpartition(".")[2])
def test_the_page_describes_every_table_as_the_code_does(module):
    assert section(module) in PAGE, f"docs/sql.md should say:\n{section(module)}"


def test_the_page_describes_no_other_table():
    assert re.findall(r"^### (\w+)$", PAGE, re.MULTILINE) == [m.__name__.rpartition(".")[2] for m in MODULES]


def test_the_queries_of_the_page_are_answered(artifacts):
    rebuild(DATABASE, artifacts, WANTED)
    assert len(QUERIES) == 4
    connection = open_locked(DATABASE, [Path("artifacts")])
    wrong, words, types, runs = (connection.execute(check_query(query).query).fetchall() for query in QUERIES)
    assert {row[3] for row in wrong} == {"so 1"}
    assert len(wrong) == 5
    assert len({row[1] for row in words}) == 4
    shares: dict[tuple[int, str], float] = {}
    for base, _, word, _, share in words:
        shares[base, word] = shares.get((base, word), 0) + share
    assert all(total == pytest.approx(1, abs=0.03) for total in shares.values())
    assert set(shares) == {(base, word) for base in BASES for word in ("the", "sum", "is", "so")}
    for base in BASES:
        assert sum(row[-1] for row in types if row[0] == base) == 78
    assert {row[0] for row in runs} == {"full", "explorer20"}


def test_accuracy_of_the_final_policy_is_that_of_the_last_checkpoint(artifacts):
    """An earlier checkpoint that answers nothing changes nothing."""
    wanted = {}
    for method in METHODS:
        own = []
        for seed in SEEDS:
            folder = artifacts / f"evaluate/{method}-s{seed}"
            right = [row["correct"] for path in folder.rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
            own.append(np.mean(right))
            write_scores(folder, method, seed, STEPS - 2, {"easy": np.zeros((6, 4)), "hard": np.zeros((5, 4))})
            write_manifest(folder)
        wanted[method] = 100 * np.mean(own)
    rebuild(DATABASE, artifacts, WANTED)
    rows = open_locked(DATABASE, [Path("artifacts")]).execute(check_query(QUERIES[3]).query).fetchall()
    assert {row[0]: row[-1] for row in rows} == pytest.approx(wanted, abs=0.006)


def test_the_page_says_in_which_tables_the_seed_of_base_is_a_base_policy(artifacts):
    rebuild(DATABASE, artifacts, WANTED)
    connection = open_locked(DATABASE, [Path("artifacts")])
    seeds = {}
    for module in MODULES:
        name = module.__name__.rpartition(".")[2]
        if {"run", "seed"} <= set(module.SCHEMA.metadata[b"key"].decode().split(",")):
            rows = connection.execute(f"SELECT DISTINCT seed FROM {name} WHERE run = 'base'").fetchall()
            seeds[name] = {seed for (seed,) in rows}
    of_probe = {name for name, found in seeds.items() if found == set(BASES)}
    (text,) = re.findall(r"in all tables of its\s+probe: (.*?)\. In `rescored` it is that", PAGE, re.DOTALL)
    # The fixture has no table `sampled`.
    assert of_probe == {*re.findall(r"`(\w+)`", text), "rescored"} - {"sampled"}
    assert {name for name, found in seeds.items() if found == set(SEEDS)} == {"scores", "evaluated"}
    scorers = "SELECT DISTINCT base, seed FROM rescored WHERE run = 'base'"
    assert set(connection.execute(scorers).fetchall()) == {(base, scorer) for base in BASES for scorer in BASES}


def test_the_page_says_which_tables_hold_further_runs():
    (text,) = re.findall(r"Three also hold the trainings of `extra_runs`, .*?: (.*?)\. There", PAGE, re.DOTALL)
    held = {table for source in SOURCES.values() if source.names("more") for table in source.tables}
    assert set(re.findall(r"`(\w+)`", text)) == held


def test_the_reconciliation_is_a_query_that_spectrum_sql_takes(artifacts):
    rebuild(DATABASE, artifacts, WANTED)
    query = check_query(query_text("queries/reconcile.sql")).query
    rows = open_locked(DATABASE, [Path("artifacts")]).execute(query).fetchall()
    assert len(rows) == 2 * 2 * 4  # methods, seeds, steps of one mini-batch


def test_the_macros_of_the_page_are_those_of_the_database(artifacts):
    rebuild(DATABASE, artifacts, WANTED)
    connection = open_locked(DATABASE, [Path("artifacts")])
    rows = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type LIKE '%macro' AND NOT internal"
    ).fetchall()
    own = {row[0] for row in rows} - {
        "layer_count",
        "checked_layer",
        "checked_fraction",
        "checked_cut",
        "quantile_or_half",
    }  # what the macros use
    assert set(re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE)) == own


def test_no_macro_calls_what_an_older_duckdb_has_not(artifacts):
    """`if(...)` is kept as a function's name, which DuckDB 1.2 to 1.5 do not find in a stored macro.  CASE is found."""
    rebuild(DATABASE, artifacts, WANTED)
    connection = open_locked(DATABASE, [Path("artifacts")])
    rows = connection.execute(
        "SELECT function_name, macro_definition FROM duckdb_functions() "
        "WHERE function_type LIKE '%macro' AND NOT internal"
    ).fetchall()
    assert rows
    assert [name for name, definition in rows if re.search(r'(^|\W)"?if"?\(', definition, re.IGNORECASE)] == []


def test_the_page_on_adding_a_result_lists_every_source_with_its_tables():
    page = (Path(__file__).parents[2] / "docs/adding-a-result.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if re.match(r"\| `\w+`", line) and line.count(" | ") == 2]
    listed = {name: re.findall(r"\w+", tables) for names, tables, _ in rows for name in re.findall(r"`(\w+)`", names)}
    several = {name: tables for name, tables in listed.items() if name.endswith("_more")}
    assert {k: v for k, v in listed.items() if k not in several} == {
        name: list(source.tables) for name, source in SOURCES.items() if name not in several
    }
    assert all(several[name] == ["metrics", "scores", "evaluated"] for name in SOURCES if name.endswith("_more"))


def test_the_functions_of_the_page_on_adding_a_result_make_rows_figure_and_page(
    artifacts, params, tmp_path, monkeypatch
):
    """In the folder that `spectrum results --new` begins, with its query left out of the declaration."""
    page = (Path(__file__).parents[2] / "docs/adding-a-result.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    name = "quantiles_of_the_page"
    folder = tmp_path / "packages" / name
    folder.mkdir(parents=True)
    declared = command.DECLARATION.format(name=name, model="PageParams")
    assert declared.count('query="query.sql",') == 1
    (folder / "__init__.py").write_text(declared.replace('query="query.sql",', "figure=True, page=True,"))
    (folder / "query.sql").write_text(command.QUERY)
    (folder / "result.py").write_text(code)
    monkeypatch.syspath_prepend(folder.parent)
    save_params(params | {"analysis": params["analysis"] | {name: {"p": 0.3}}})
    made = {kind: Path(f"results/{name}.{kind}") for kind in ("csv", "png", "md")}
    files = [word for kind, path in made.items() for word in (f"--{kind}", str(path))]
    stage.main([f"{name}.result", "--attention", f"{artifacts}/attention", *files])
    rows = [line.split(",") for line in made["csv"].read_text().splitlines()[1:]]
    wanted = {}
    for base in BASES:
        (path,) = (artifacts / f"attention/{base}").rglob("attention/**/*.parquet")
        for row in pq.read_table(path, partitioning=None).to_pylist():
            wanted.setdefault((str(base), str(row["layer"])), []).append(row["entropy_norm"])
    found = {(base, layer): float(value) for base, layer, _, value, *_ in rows}
    assert found == pytest.approx({key: np.quantile(values, 0.3) for key, values in wanted.items()}, abs=1e-4)
    assert made["png"].read_bytes().startswith(b"\x89PNG")
    lowest = min(found.values())
    assert made["md"].read_text() == f"# Quantiles\n\nPreset `small`, policy `tiny`.\n\nThe lowest is {lowest:.2f}.\n"
