"""What params lack for a result: methods, replicates, and what the result itself asks for.  Read at plan time."""

from collections.abc import Iterator, Mapping
from typing import Any

from tokenspectrum.results.declare import Result


def lacks(result: Result, params: Any) -> Iterator[str]:
    """One line for each thing that the whole `params` do not have and `result` needs."""
    for method in result.methods:
        if method not in params.methods:
            yield f"method {method} is not in methods; add it"
    if len(params.replicates) < result.replicates:
        yield f"it takes {result.replicates} replicates, and replicates holds {len(params.replicates)}; add some"
    yield from result.lacks(params)


def refused(results: Mapping[str, Result], params: Any) -> dict[str, str]:
    """Name -> one line that says why, of each result that cannot be made under `params`."""
    lines = {name: "; ".join(lacks(result, params)) for name, result in results.items()}
    return {
        name: f"results/{name}: cannot be made of preset {params.preset}: {why}" for name, why in lines.items() if why
    }
