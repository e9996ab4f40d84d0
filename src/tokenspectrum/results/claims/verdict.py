"""From findings to verdicts: Holm over the claims of a family, then holds, fails or undecided.

A claim holds where the adjusted p-value for it is below alpha, and fails where the one against it is.  Otherwise it is
undecided, and the smallest effect is told that these data would have shown with the given power.

Both can be so of an effect that is off 0 and yet within the margin that counts as none: such a claim fails.

A p-value that is alpha but for rounding decides nothing: an interval of 95 % that ends at the threshold contains it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenspectrum.results.claims.claim import Claim
from tokenspectrum.results.claims.judge import Finding, holm
from tokenspectrum.results.statistics import minimum_detectable_difference

Row = dict[str, Any]
ROUNDING = 1e-9
HOLDS, FAILS, UNDECIDED, NOT_RUN = "holds", "fails", "undecided", "not run"


def verdict(p_for: float | None, p_against: float | None, alpha: float) -> str:
    """What two adjusted p-values say."""
    if p_against is not None and p_against < alpha - ROUNDING:
        return FAILS
    return HOLDS if p_for is not None and p_for < alpha - ROUNDING else UNDECIDED


def missing(claim: Claim, methods: Sequence[str], results: Sequence[str]) -> list[str]:
    """What the claim needs and there is not, in words."""
    lacks = [f"method {name}" for name in claim.methods if name not in methods]
    return [*lacks, *(f"results/{name}.csv" for name in claim.results if name not in results)]


def detectable(finding: Finding, alpha: float, power: float) -> float | None:
    """The smallest effect that would have been seen; None where there is no spread to tell it from."""
    if not finding.spread or finding.n < 2:
        return None
    return minimum_detectable_difference(finding.spread, finding.n, power, alpha)


def settle(
    claims: Sequence[Claim],
    findings: Mapping[str, Finding],
    reasons: Mapping[str, str],
    alpha: float,
    power: float,
) -> list[Row]:
    """A row a claim, in order.  A claim without a finding is not run, and `reasons` says why."""
    p_for, p_against = (_adjusted(claims, findings, side) for side in ("p_for", "p_against"))
    rows = []
    for claim in claims:
        found = findings.get(claim.id, Finding())
        said = verdict(p_for.get(claim.id), p_against.get(claim.id), alpha) if claim.id in findings else NOT_RUN
        note = found.note if claim.id in findings else reasons[claim.id]
        rows.append(
            {"id": claim.id, "source": claim.source, "place": claim.place, "claim": claim.claim}
            | {"family": claim.family, "measure": claim.measure, "rule": claim.rule, "verdict": said}
            | {"part": found.part or None, "value": found.value, "ci_low": found.low, "ci_high": found.high}
            | {"n": found.n or None, "of": found.of if found.n else None, "bases": found.bases or None}
            | {"p_for": found.p_for, "p_for_holm": p_for.get(claim.id)}
            | {"p_against": found.p_against, "p_against_holm": p_against.get(claim.id)}
            | {"detectable": detectable(found, alpha, power) if said == UNDECIDED else None}
            | {"published": claim.published or None, "note": note or None}
        )
    return rows


def _adjusted(claims: Sequence[Claim], findings: Mapping[str, Finding], side: str) -> dict[str, float | None]:
    """Claim -> p-value of one side after Holm over the decided claims of its family."""
    adjusted: dict[str, float | None] = {}
    for family in dict.fromkeys(claim.family for claim in claims):
        own = [claim.id for claim in claims if claim.family == family and claim.id in findings]
        adjusted |= dict(zip(own, holm([getattr(findings[name], side) for name in own]), strict=True))
    return adjusted
