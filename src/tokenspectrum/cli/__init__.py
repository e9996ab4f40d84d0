"""Command line: `spectrum`.  One module a subcommand; the only room that draws with rich."""
