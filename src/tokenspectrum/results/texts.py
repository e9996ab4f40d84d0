"""Tokens as text in figures.  Knows no token."""

NAMED = {"\n": "↵", "\t": "→", "\r": "←", " ": "␣"}


def shown(token: str) -> str:
    """A token's text on one line, its white space visible."""
    return "".join(NAMED.get(c, c if c.isprintable() else repr(c)[1:-1]) for c in token) or "∅"
