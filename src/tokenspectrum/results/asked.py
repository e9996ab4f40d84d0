"""The CSVs of other results that a result reads, and the rules of methods: of those that the params have.

They are no fixed list, so dvc.yaml cannot hold them.  The bridge asks (`named-files` in pyproject.toml) whenever it
reads dvc.yaml.  Params may not be checked yet then: of wrong ones nothing is named, and their check says why.
"""

from collections.abc import Mapping
from typing import Any

from tokenspectrum.errors import UserError


def asked_files(stage: str, params: Mapping[str, Any]) -> list[str]:
    """Paths of the CSVs and rules that the result of this name reads, sorted; none for any other stage."""
    from tokenspectrum.results.discover import results

    own = results().get(stage)
    if own is None or not (own.asks or own.rules):
        return []
    # Late: every job asks, and only a result that reads others needs the whole params.
    from tokenspectrum.params.root import parse_params
    from tokenspectrum.results.lacking import refused

    there = {name: results()[name] for name in own.asks if name in results()}
    try:
        whole = parse_params(dict(params), "params.yaml")
        left_out = refused(there, whole)
    except UserError:
        return []
    weights = f"artifacts/{whole.preset}/weights"
    rules = [f"{weights}/{m}-b{whole.bases[0]}/rule.json" for m in own.rules if m in whole.methods]
    return sorted([*(result.outs["csv"] for name, result in there.items() if name not in left_out), *rules])
