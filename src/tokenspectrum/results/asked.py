"""The CSVs of other results that a result reads: of those results that the params have what it takes for.

They are no fixed list, so dvc.yaml cannot hold them.  The bridge asks (`named-files` in pyproject.toml) whenever it
reads dvc.yaml.  Params may not be checked yet then: of wrong ones nothing is named, and their check says why.
"""

from collections.abc import Mapping
from typing import Any

from tokenspectrum.errors import UserError


def asked_files(stage: str, params: Mapping[str, Any]) -> list[str]:
    """Paths of the CSVs that the result of this name reads, sorted; none for any other stage."""
    from tokenspectrum.results.discover import results

    own = results().get(stage)
    if own is None or not own.asks:
        return []
    # Late: every job asks, and only a result that reads others needs the whole params.
    from tokenspectrum.params.root import parse_params
    from tokenspectrum.results.lacking import refused

    there = {name: results()[name] for name in own.asks if name in results()}
    try:
        left_out = refused(there, parse_params(dict(params), "params.yaml"))
    except UserError:
        return []
    return sorted(result.outs["csv"] for name, result in there.items() if name not in left_out)
