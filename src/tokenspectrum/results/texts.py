"""Tokens and numbers of things as text in figures.  Knows no token."""

NAMED = {"\n": "↵", "\t": "→", "\r": "←", " ": "␣"}


def shown(token: str) -> str:
    """A token's text on one line, its white space visible."""
    return "".join(NAMED.get(c, c if c.isprintable() else repr(c)[1:-1]) for c in token) or "∅"


def policies(count: int) -> str:
    """`1 base policy`, `3 base policies`."""
    return f"{count} base {'policy' if count == 1 else 'policies'}"


def logged_alignment(asked: str) -> str:
    """The alignment of training runs' attention under `tokens.alignment`.

    A rule that reads no attention names no alignment; its run logs the default one.
    """
    return asked if asked == "decision" else f"{asked} (decision where the rule reads no attention)"
