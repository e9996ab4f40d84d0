"""The queries that ship with the code, and DuckDB's messages as one line.  Knows no table."""

from importlib import resources


def query_text(name: str) -> str:
    """The text of `queries/<name>`; name it by a literal, so that the stage's code deps include the file."""
    return (resources.files("tokenspectrum.analysis") / "queries" / name).read_text()


def one_line(error: Exception) -> str:
    """A DuckDB message as one line, without the excerpt of the query that it ends in."""
    lines = [line.strip() for line in str(error).split("\nLINE ")[0].splitlines() if line.strip()]
    return " ".join(lines)
