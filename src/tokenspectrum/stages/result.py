"""Stage of every result: read its tables, write its rows as CSV, and its figure or page if it has one.

    python -m tokenspectrum.stages.result tokenspectrum.results.layers.result --attention FOLDER ... --csv FILE ...

The first argument is the module that holds the result's code; the result is declared in that folder.  Each source that
it reads and each file that it makes is an option.  The CSVs of other results that it reads, and the rules of methods,
are those that the bridge names in SNAKEDVC_NAMED, a line each: not all of them can be made under all params.
"""

import argparse
import os
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tokenspectrum.results.csvfile import to_csv
from tokenspectrum.results.declare import Answer, Result
from tokenspectrum.results.given import Given, read_given
from tokenspectrum.results.metricsfile import to_metrics
from tokenspectrum.results.sources import SOURCES
from tokenspectrum.results.tables import Tables
from tokenspectrum.stages.entry import run
from tokenspectrum.tokenlog.writer import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def answer(result: Result, module: ModuleType, tables: Tables, given: Given) -> Answer:
    """The rows, by the result's own `compute`, or by its query with its own options as values."""
    if result.query is None:
        return module.compute(tables, given)
    return Answer(tables.query(result.query, **(given.own.model_dump() if given.own else {})))


def drawn(module: ModuleType, rows: list[dict[str, Any]], given: Given) -> "Figure":
    """The result's figure, with the names of preset and policy above it."""
    from tokenspectrum.results.canvas import stamp

    figure = module.draw(rows, given)
    stamp(figure, "preset {preset}, policy {policy}".format(**given.named))
    return figure


def asked() -> dict[str, Path]:
    """Name -> CSV of every other result that it reads, as the bridge names them."""
    return {path.stem: path for path in _named() if path.suffix == ".csv"}


def ruled() -> dict[str, Path]:
    """Method -> rule.json of every method whose rule it reads; all base policies have the same rule but for tau."""
    return {path.parent.name.rpartition("-b")[0]: path for path in _named() if path.name == "rule.json"}


def _named() -> list[Path]:
    return [Path(line) for line in os.environ.get("SNAKEDVC_NAMED", "").splitlines()]


def main(argv: list[str] | None = None) -> None:
    """Read, compute and write."""
    first = argparse.ArgumentParser(description=__doc__)
    first.add_argument("module", help="dotted name of the module with the result's code")
    named, rest = first.parse_known_args(argv)
    module = pkgutil.resolve_name(named.module)
    result: Result = pkgutil.resolve_name(named.module.removesuffix(".result")).RESULT
    parser = argparse.ArgumentParser(description=result.question)
    for source in result.reads:
        tables = ", ".join(SOURCES[source].tables)
        parser.add_argument(f"--{source}", type=Path, required=True, help=f"folder with {tables}")
    if result.folder:
        parser.add_argument("--folder", type=Path, required=True, help=f"{result.section}.{result.folder}")
    for kind in result.outs:
        parser.add_argument(f"--{kind}", type=Path, required=True, help=f"the {kind} file to write")
    args = vars(parser.parse_args(rest))
    given = read_given(result)
    roots = {source: args[source] for source in result.reads}
    own = Tables(roots, given.wanted, result.package, args.get("folder"), asked(), ruled())
    found = answer(result, module, own, given)
    # A row that names its own preset or policy keeps that name.
    rows = [{**row, **{k: v for k, v in given.named.items() if k not in row}} for row in found.rows]
    files = {"csv": to_csv(result.written, rows).encode()}
    if result.metrics:
        files["json"] = to_metrics(result.columns, result.metrics, found.rows).encode()
    if result.figure:
        from tokenspectrum.results.canvas import written

        files["png"] = written(drawn(module, found.rows, given), "png")
    if result.page:
        heading, _, rest = module.page(found, given).partition("\n\n")
        files["md"] = "\n\n".join(
            [heading, "Preset `{preset}`, policy `{policy}`.".format(**given.named), rest]
        ).encode()
    for kind, content in files.items():
        with atomic_path(args[kind]) as temporary:
            temporary.write_bytes(content)


if __name__ == "__main__":
    run(main, computes=False)
