"""From params to a resolved rule: layer names become indices, kinds become endpoints, and constants are written out.

Knows params and rules, but no scores: tau `auto` stays None until `solve_tau` has seen the base policy's tokens.
"""

from dataclasses import fields, replace

from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.params.rules import MatchedRule, RuleParams
from tokenspectrum.weighting.rule import Rule

# (w_low, w_high), each (at s = 0, from s = S_warm on): ANCHOR eq. 28-30 and their controls.
ENDPOINTS = {
    "low2high": ((1.0, 0.0), (0.0, 1.0)),
    "high2low": ((0.0, 1.0), (1.0, 0.0)),
    "static-anchor": ((1.0, 1.0), (0.0, 0.0)),
    "static-explorer": ((0.0, 0.0), (1.0, 1.0)),
}


def resolve(params: RuleParams, n_layers: int) -> Rule:
    """The rule that `params` describe on a policy of `n_layers` layers; a layer that it lacks is a UserError."""
    if isinstance(params, MatchedRule):
        return replace(resolve(params.of, n_layers), kind=params.kind, matches=params.of.kind)
    values = {f.name: getattr(params, f.name) for f in fields(Rule) if hasattr(params, f.name)}
    if "layer" in values:
        values["layer"] = resolve_layer(values["layer"], n_layers)
    if values.get("tau") == "auto":
        values["tau"] = None
    if params.kind in ENDPOINTS:
        values["w_low"], values["w_high"] = ENDPOINTS[params.kind]
    return Rule(**values)
