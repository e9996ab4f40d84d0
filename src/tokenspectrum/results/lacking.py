"""What params lack for a result: methods, replicates, and what the result itself asks for.  Read at plan time."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tokenspectrum.results.declare import Result

_METHOD = re.compile(r"method (?P<method>\S+)(?P<where>.*) is not in methods; add it")


def lacks(result: Result, params: Any) -> Iterator[str]:
    """One line for each thing that the whole `params` do not have and `result` needs."""
    for method in result.methods:
        if method not in params.methods:
            yield f"method {method} is not in methods; add it"
    if len(params.replicates) < result.replicates:
        yield f"it takes {result.replicates} replicates, and replicates holds {len(params.replicates)}; add some"
    yield from result.lacks(params)


def _merged(lines: Iterable[str]) -> list[str]:
    """The lines, those of several methods that lack in the same place as one."""
    found: dict[str, list[str]] = {}
    for line in lines:
        match = _METHOD.fullmatch(line)
        found.setdefault(match["where"] if match else line, []).append(match["method"] if match else "")
    return [
        where
        if not all(methods)
        else f"method {methods[0]}{where} is not in methods; add it"
        if len(methods) == 1
        else f"methods {', '.join(methods[:-1])} and {methods[-1]}{where} are not in methods; add them"
        for where, methods in found.items()
    ]


def refused(results: Mapping[str, Result], params: Any) -> dict[str, str]:
    """Name -> one line that says why, of each result that cannot be made under `params`."""
    lines = {name: "; ".join(_merged(lacks(result, params))) for name, result in results.items()}
    return {
        name: f"results/{name}: cannot be made of preset {params.preset}: {why}" for name, why in lines.items() if why
    }
