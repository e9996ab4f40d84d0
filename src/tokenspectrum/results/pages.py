"""The pages of docs about results, written from their declarations: docs/results.md, and one page a result.

Knows declarations and the text of SQL files; draws nothing and reads no data.  Of figures it knows whether docs/images
has one of this name.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tokenspectrum.results.declare import Result, nothing
from tokenspectrum.results.sources import SOURCES

NOTE = "<!-- Written by `spectrum results --write`; edit the result's folder, not this page. -->"
IMAGES = Path("docs/images")
FILES = {
    "csv": "the numbers",
    "json": "the main ones, for `dvc metrics`",
    "png": "the figure, drawn from the rows of the CSV",
    "md": "the page",
}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _options(model: BaseModel, lead: str = "") -> Iterator[list[str]]:
    """Name, default and description of every option, those of sub-sections by dotted name."""
    for name, field in type(model).model_fields.items():
        value: Any = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _options(value, f"{lead}{name}.")
        else:
            shown = value.items() if isinstance(value, dict) else value
            text = str(list(shown)) if isinstance(value, dict | tuple) else str(shown)
            yield [f"`{lead}{name}`", f"`{text}`", field.description or ""]


def _needs(result: Result) -> Iterator[str]:
    if result.methods:
        yield f"the methods {', '.join(f'`{m}`' for m in result.methods)}"
    if result.replicates > 1:
        yield f"{result.replicates} replicates"
    if (about := (result.lacks.__doc__ or "").split("\n")[0]) and result.lacks is not nothing:
        yield about[0].lower() + about[1:].rstrip(".")


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _how_to_read(queries: Mapping[str, str]) -> str:
    """What a reader who copies a query into `spectrum sql` has to know."""
    said = (
        "A query below sees the tables of the stages under *Reads*, and of no other. Under `spectrum sql` a table of"
        " the same name holds every run, seed and step: narrow it to those that you mean, such as `WHERE run = 'base'`"
        " for the probe of a base policy."
    )
    if any("$" in text for text in queries.values()):
        said += " Each `$name` is a value that the result puts in, most often its option of that name: write the value."
    return said


def page(result: Result, queries: Mapping[str, str]) -> str:
    """The page of one result; `queries` is the text of each SQL file that it uses, by path."""
    reads = [[f"`{name}`", ", ".join(f"`{t}`" for t in SOURCES[name].tables)] for name in result.reads]
    blocks = [
        f"# {result.title[0].upper()}{result.title[1:]}",
        NOTE,
        f"**{result.question}**",
        (import_module(result.package).__doc__ or "").strip(),
    ]
    if result.figure and (image := IMAGES / f"{result.name}.png").is_file():
        blocks.append(f"![{result.title}](../{image.relative_to('docs').as_posix()})")
    if result.listing:
        blocks.append(result.listing())
    if result.overturned:
        blocks += ["## What would change one's mind", result.overturned]
    made = [f"- `{path}`: {FILES[kind]}" for kind, path in result.outs.items()]
    if result.figure:
        drawn = (import_module(result.module).draw.__doc__ or "").split("\n\n")[0]
        what = " ".join(drawn.split()).rstrip(".").removesuffix(" as PNG bytes").removesuffix(" as PNG").rstrip(",:")
        made.append(f"\nThe figure: {what[0].lower()}{what[1:]}.")
    blocks += ["## Files", f"`snakemake --profile local {result.outs['csv']}` makes", "\n".join(made)]
    blocks += ["## Reads", _table(["out of the stages", "tables"], reads)]
    if result.asks:
        asked = ", ".join(f"`results/{name}.csv`" for name in result.asks)
        blocks.append(f"And, of other results, those that the params have what it takes for: {asked}.")
    if result.rules:
        blocks.append(f"And the rules, as trained, of those of these methods that are run: {_names(result.rules)}.")
    if others := [name for name in result.models if name != result.section]:
        blocks.append(f"Of params, beside its own options: {', '.join(f'`{name}`' for name in others)}.")
    if needs := list(_needs(result)):
        blocks.append(f"It is left out where the params do not have what it needs: {'; '.join(needs)}.")
    if result.params:
        rows = list(_options(result.params()))
        blocks += [f"## Options: `{result.section}`", _table(["option", "default", ""], rows)]
    columns = [[f"`{c.name}`", c.kind.__name__, c.about] for c in result.written]
    blocks += ["## Columns", _table(["column", "type", ""], columns)]
    if queries:
        blocks += ["## Queries", _how_to_read(queries)]
    for path, text in queries.items():
        blocks += [f"## `{path}`", f"```sql\n{text.strip()}\n```"]
    return "\n\n".join(blocks) + "\n"


def index(results: Mapping[str, Result]) -> str:
    """docs/results.md."""
    rows = [[f"[{r.title}](results/{r.name}.md)", r.question, ", ".join(r.outs.values())] for r in results.values()]
    about = (
        "Every result is a target of its own (`snakemake --profile local results/<name>.csv`); all of them:"
        " `snakemake --profile local all`. `spectrum results` says which of them the present params lack something for."
        " [Adding a result](adding-a-result.md) takes one folder."
    )
    return "\n\n".join(["# Results", NOTE, about, _table(["result", "question", "files"], rows)]) + "\n"
