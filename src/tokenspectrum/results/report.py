"""What Snakemake's report says: a landing page and, for every file of a result, its category, caption and labels.

All follows from the results' declarations, from the params, and from the files in results/ where they are there: the
table on the landing page is the one of results/table1.md, a figure's caption is the one that was drawn into it.  Knows
no Snakemake.
"""

import csv
import errno
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.results.declare import Result
from tokenspectrum.results.sources import SOURCES

FOLDER = Path(".snakemake/tokenspectrum-report")
QUESTION = "Which response tokens teach a policy in RL with verifiable rewards?"
KINDS = {"csv": "numbers", "json": "main numbers", "md": "page"}
FIRST = ("table1", "claims")  # results whose table stands on the landing page, where they are made
_GRID, _WHOLE = "what training gives", "what the tokens are"


def write_report(results: Mapping[str, Result], params: Any, folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Write the landing page and the captions into `folder`; what Snakemake's report() takes, by path of each file."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "landing.rst", landing(results, params))
    marks = {}
    for name, result in results.items():
        for kind, path in result.outs.items():
            file = folder / f"{name}.{kind}.rst"
            _write(file, caption(result, Path(path)))
            labels = {"result": result.title, "file": KINDS.get(kind, f"figure, {kind}")}
            marks[path] = {"caption": str(file.absolute()), "category": category(result), "labels": labels}
    return marks


def category(result: Result) -> str:
    """Where it stands in the report: with what training gives, or with what the tokens of a base policy are."""
    trained = any(SOURCES[name].names("seed") for name in result.reads)
    return _GRID if trained else _WHOLE


def caption(result: Result, path: Path) -> str:
    """The question, how it is answered, what would change one's mind and, of a figure, the words below it."""
    blocks = [f"**{result.question}**", (import_module(result.package).__doc__ or "").strip()]
    if drawn := figure_caption(path):
        blocks.append(f"The figure: {drawn}")
    if result.overturned:
        blocks.append(f"*What would change one's mind:* {result.overturned}")
    blocks.append(f"``{path.as_posix()}``")
    return _raw(_bars("\n\n".join(blocks)))


def figure_caption(path: Path) -> str:
    """The caption that a PNG carries; none for another file, or one that is not there or damaged."""
    if path.suffix != ".png" or not path.is_file():
        return ""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return str(image.info.get("Description", ""))
    except (UnidentifiedImageError, OSError):
        return ""


def landing(results: Mapping[str, Result], params: Any) -> str:
    """The report's first page."""
    blocks = [
        _title(QUESTION),
        f"Preset ``{params.preset}``: {_count(params.bases, 'base policy', 'base policies')}, "
        f"{_count(params.replicates, 'replicate', 'replicates')}, {_count(params.methods, 'method', 'methods')} "
        f"({', '.join(params.methods)}).",
    ]
    for name in FIRST:
        if name in results and (rows := _first_table(Path(results[name].outs.get("md", "")))):
            blocks += [_title(results[name].title, "-"), results[name].question, _table(rows)]
    blocks.append(_title("all results", "-"))
    blocks.append(_table([["result", "question", "files"], *_index(results)]))
    return _raw(_bars("\n\n".join(blocks)))


def _index(results: Mapping[str, Result]) -> Iterator[list[str]]:
    for result in results.values():
        yield [result.title, result.question, ", ".join(Path(path).name for path in result.outs.values())]


def _first_table(path: Path) -> list[list[str]]:
    """Header and rows of the first table of a Markdown page; nothing if the page is not there."""
    if not path.is_file():
        return []
    rows: list[list[str]] = []
    for line in path.read_text().splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            break
    return [row for row in rows if not all(set(cell) <= set("-: ") and cell for cell in row)]


def _table(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    body = "".join(f"   {line}\n" for line in text.getvalue().splitlines())
    return f".. csv-table::\n   :header-rows: 1\n\n{body}"


def _title(text: str, line: str = "=") -> str:
    text = text[0].upper() + text[1:]
    return f"{text}\n{line * len(text)}"


def _count(values: Sequence[Any], one: str, many: str) -> str:
    return f"{len(values)} {one if len(values) == 1 else many}"


def _bars(text: str) -> str:
    """The bars of |g|^2 as signs of their own: reStructuredText reads them as a substitution, but not between ``."""
    return re.sub(r"(`+)[^`]*\1|\|", lambda found: "\\|" if found[0] == "|" else found[0], text)


def _raw(text: str) -> str:
    """Snakemake reads a page as a Jinja template: ours is none."""
    return "{% raw %}\n" + text.replace("{% endraw %}", "") + "\n{% endraw %}\n"


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text() != text:
        try:
            path.write_text(text)
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise
            raise UserError(f"{path}: the disk is full; free some room (`spectrum gc`) and run again") from None
