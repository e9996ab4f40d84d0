"""Claims that the referee asked for: whether anything is left once what else differs is taken out."""

from dataclasses import replace

from tokenspectrum.results.claims.facts import FULL, Facts, less
from tokenspectrum.results.claims.judge import Finding, above, apart, every

# Smaller than this counts as none: a partial correlation, and a gap in shares of which 1 is the average token's.
NEGLIGIBLE = {"partial Pearson": 0.05, "residual gap": 0.1}


def asymmetry_survives(facts: Facts) -> Finding:
    """Given position, predictive entropy and loss, both are off 0 at the layer, on every base policy."""
    parts, signs = {}, set()
    for what, margin in NEGLIGIBLE.items():
        for row in facts.rows("isolation", measure="share", what=what, layer=facts.layer):
            size = (row["value"], row["ci_low"], row["ci_high"], row["responses"], "responses")
            name = f"{what}, base {row['base']}"
            parts[name] = Finding(note="no variance") if row["value"] is None else apart(*size, margin)
            signs.add((what, (row["value"] or 0) > 0))
    if not parts:
        return Finding(note=f"results/isolation.csv has no row of layer {facts.layer}")
    found = every(parts)
    turns = "its sign differs between base policies" if len(signs) > len(NEGLIGIBLE) else found.note
    return replace(found, bases=len(facts.bases("isolation")), note=turns)


def gain_is_no_artefact(facts: Facts) -> Finding:
    """low2high is above full, above its own weights shuffled, and above its mean weight for all tokens."""
    others = {"full": FULL, "shuffled": "low2high_shuffled", "equal mean": "low2high_equal_mean"}
    return every({f"less {name}": above(less(facts, "low2high_mid", other)) for name, other in others.items()})


DECIDE = {"R1": asymmetry_survives, "R2": gain_is_no_artefact}
