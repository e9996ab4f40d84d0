"""Responses in blocks that fit in memory, whatever the number of tokens.  Knows counts, not what the columns mean."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

BLOCK = 500_000  # tokens that are read at a time; a response is never divided


def blocks(responses: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Responses that follow each other, as many as have BLOCK tokens together: `first` to `last`.

    A response is its id `response_id`, its tokens `n`, and what it is of, such as its base policy.  They come in order,
    and those of a block are of the same.
    """
    block: dict[str, Any] = {}
    size = 0
    for row in responses:
        of = {name: value for name, value in row.items() if name not in ("response_id", "n")}
        if block and size + row["n"] <= BLOCK and all(block[name] == value for name, value in of.items()):
            block["last"], size = row["response_id"], size + row["n"]
            continue
        if block:
            yield block
        block, size = of | {"first": row["response_id"], "last": row["response_id"]}, row["n"]
    if block:
        yield block
