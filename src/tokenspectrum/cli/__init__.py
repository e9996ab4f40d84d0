"""Command line: `spectrum`.  One module a subcommand; the only room that draws with rich."""

# First of all: libraries read the pins when they are loaded.
import tokenspectrum.portable  # noqa: F401
