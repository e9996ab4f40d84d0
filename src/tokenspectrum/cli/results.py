"""`spectrum results`: list the results, draw one, begin a new one, and write what follows from their declarations."""

import argparse
import re
from pathlib import Path

from tokenspectrum.errors import UserError

FOLDER = Path("src/tokenspectrum/results")
PAGES = Path("docs/results")
INDEX = Path("docs/results.md")

DECLARATION = '''"""What the rows are, in a sentence.

How they are computed, for the page of the docs: in plain words, with the equation if there is one.
"""

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.results.declare import Column, Result


class {model}(Frozen):
    """`results/{name}`: its options."""

    p: float = Field(default=0.2, gt=0, lt=1, description="what it sets")


RESULT = Result(
    __name__,
    title="{name}",
    question="What does it answer?",
    reads=("attention",),
    columns=(
        Column("base", int, "the base policy"),
        Column("layer", int, "a layer, 0-based"),
        Column("tokens", int, "tokens of its probe"),
        Column("quantile", float, "entropy_norm below which the fraction p of them lies"),
    ),
    params={model},
    query="query.sql",
)
'''
QUERY = """-- What a row is.
SELECT seed AS base, layer, count(*) AS tokens, quantile_cont(entropy_norm, $p)::DOUBLE AS quantile
FROM attention
GROUP BY seed, layer
ORDER BY seed, layer;
"""


def begin(name: str) -> Path:
    """Write a folder for result `name`, with a declaration and a query to change."""
    from snakedvc.yamlfile import load_yaml

    folder = FOLDER / name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(f"--new {name}: a name has small letters, digits and _ alone")
    if folder.exists():
        raise UserError(f"{folder}: is there already")
    if (module := folder.with_suffix(".py")).exists():  # the folder would take its place, and no command would start
        raise UserError(f"--new {name}: {module} has that name; give another")
    if name in load_yaml(Path("dvc.yaml"))["stages"]:
        raise UserError(f"--new {name}: a stage of dvc.yaml has that name; give another")
    folder.mkdir()
    model = "".join(part.capitalize() for part in name.split("_")) + "Params"
    (folder / "__init__.py").write_text(DECLARATION.format(name=name, model=model), encoding="utf-8")
    (folder / "query.sql").write_text(QUERY, encoding="utf-8")
    return folder


def pages() -> dict[Path, str]:
    """Path -> text of every page of docs about results."""
    from snakedvc.code.closure import closure
    from tokenspectrum.results.discover import results
    from tokenspectrum.results.pages import index, page

    texts = {INDEX: index(results())}
    for name, result in results().items():
        queries = [path for path in closure(result.module) if path.endswith(".sql")]
        texts[PAGES / f"{name}.md"] = page(result, {path: Path(path).read_text(encoding="utf-8") for path in queries})
    return texts


def stale() -> list[Path]:
    """Pages that differ from the declarations, are missing, or are of no result."""
    want = pages()
    have = {path: path.read_text(encoding="utf-8") for path in [INDEX, *PAGES.glob("*.md")] if path.exists()}
    return sorted(path for path in want.keys() | have.keys() if want.get(path) != have.get(path))


def write() -> None:
    """Write all that follows from the declarations: dvc.yaml, schemas/, docs, and params.yaml if it is a preset's."""
    from tokenspectrum.cli import deps, preset, schemas

    deps.write()
    schemas.write()
    texts = pages()
    for path in stale():
        if path in texts:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts[path], encoding="utf-8")
        else:
            path.unlink()
        print(path)
    print(preset.again())


def show() -> None:
    """Each result, what it answers, and what the present params lack for it."""
    from rich.console import Console
    from rich.table import Table

    from tokenspectrum.params.root import load_params
    from tokenspectrum.results.discover import results
    from tokenspectrum.results.lacking import lacks

    params = load_params()
    table = Table("result", "question", f"preset {params.preset} lacks")
    for name, result in results().items():
        table.add_row(name, result.question, "; ".join(lacks(result, params)))
    Console(markup=False, emoji=False).print(table)


def _run(args: argparse.Namespace) -> None:
    if args.new:
        print(f"{begin(args.new)}: change it, then `spectrum results --write`; docs/adding-a-result.md says how")
    elif args.draw:
        from tokenspectrum.cli.draw import draw

        print(draw(args.draw))
    elif args.check:
        if names := stale():
            raise UserError(f"{', '.join(map(str, names))}: differ from the results; run `spectrum results --write`")
    elif args.write:
        write()
    else:
        show()


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--new", metavar="NAME", help="begin a result: a folder with a declaration and a query to change")
    one.add_argument(
        "--draw", type=Path, metavar="FILE", help="draw a figure again: curves.svg is that of results/curves.csv"
    )
    one.add_argument("--write", action="store_true", help="write dvc.yaml, schemas/, docs and params.yaml from them")
    one.add_argument("--check", action="store_true", help="change nothing; fail if a page of docs differs from them")
    parser.set_defaults(func=_run)
