"""Draw a result's figure once more, from its CSV, in the format of a file's name.  Changes no result."""

from importlib import import_module
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.results.canvas import FORMATS, written
from tokenspectrum.results.csvfile import read_csv
from tokenspectrum.results.discover import results
from tokenspectrum.results.given import read_given
from tokenspectrum.stages.result import drawn
from tokenspectrum.tokenlog.writer import atomic_path


def draw(path: Path) -> str:
    """Write `path`, such as curves.svg: the figure of results/curves.csv.  Returns what was drawn."""
    name, kind = path.stem, path.suffix.removeprefix(".")
    figures = [known for known, result in results().items() if result.figure]
    if name not in figures:
        raise UserError(f"--draw {path}: {name!r} is no result with a figure; there are {', '.join(figures)}")
    if kind not in FORMATS:
        raise UserError(f"--draw {path}: the name must end in .{', .'.join(FORMATS)}")
    result = results()[name]
    csv = Path(result.outs["csv"])
    if not csv.is_file():
        raise UserError(f"{csv}: not made yet; run `snakemake --profile local {csv}`")
    given = read_given(result)
    try:
        rows = read_csv(result.written, csv)
    except (ValueError, StopIteration):
        raise UserError(f"{csv}: not as this version writes it; make it again") from None
    for field, wanted in given.named.items():
        if other := sorted({str(row[field]) for row in rows} - {wanted}):
            raise UserError(f"{csv}: of {field} {other[0]}, but params.yaml says {wanted}; make it again")
    with atomic_path(path) as temporary:
        temporary.write_bytes(written(drawn(import_module(result.module), rows, given), kind))
    return f"{path}: drawn from {csv}"
