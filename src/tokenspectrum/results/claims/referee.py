"""Claims of the referee and of the note: what is left once all else is taken out, and whether lenses agree."""

from dataclasses import replace

from tokenspectrum.results.claims.facts import FULL, Facts, less
from tokenspectrum.results.claims.judge import TURNS, Finding, above, apart, every, holm, stated

# Smaller than this counts as none: a partial correlation, and a gap in shares of which 1 is the average token's.
NEGLIGIBLE = {"partial Pearson": 0.05, "residual gap": 0.1}


def asymmetry_survives(facts: Facts) -> Finding:
    """Given position, predictive entropy and loss, both are off 0 at the layer, on every base policy."""
    parts, signs = {}, set()
    rows = facts.rows("isolation", measure="share", layer=facts.layer)
    if not rows:
        return Finding(note=f"results/isolation.csv has no row of layer {facts.layer}")
    for what, margin in NEGLIGIBLE.items():
        at = {row["base"]: row for row in rows if row["what"] == what}
        for base in facts.bases("isolation", "accuracy"):
            name = f"{what}, base {base}"
            if base not in at:
                # Its probe has no gradient: every group of responses is rewarded alike.
                parts[name] = Finding(note=f"no token of base {base} has an advantage")
                continue
            row = at[base]
            size = (row["value"], row["ci_low"], row["ci_high"], row["responses"], "responses")
            parts[name] = Finding(note="no variance") if row["value"] is None else apart(*size, margin)
            if row["value"] is not None:
                signs.add((what, row["value"] > 0))
    found = every(parts)
    told = [TURNS] if len(signs) > len({what for what, _ in signs}) else []
    note = "; ".join([*told, *filter(None, [found.note])])
    return replace(found, bases=len(facts.bases("isolation")), note=note)


def gain_is_no_artefact(facts: Facts) -> Finding:
    """low2high is above full, above its own weights shuffled, and above its mean weight for all tokens."""
    others = {"full": FULL, "shuffled": "low2high_shuffled", "equal mean": "low2high_equal_mean"}
    return every({f"less {name}": above(less(facts, "low2high_mid", other)) for name, other in others.items()})


def lenses_agree(facts: Facts) -> Finding:
    """Every two signals share more of their top tokens than chance, after Holm over the pairs of a base policy."""
    parts = {}
    for base in facts.bases("lenses"):
        pairs = {}
        for row in facts.rows("lenses", base=base):
            size = (row["excess"], row["excess_low"], row["excess_high"], row["responses"], "responses")
            found = Finding(note="no response has both") if row["excess"] is None else stated(*size)
            pairs[f"{row['one']} and {row['other']}, base {base}"] = found
        adjusted = holm([pair.p_for for pair in pairs.values()])
        parts |= {name: replace(pair, p_for=p) for (name, pair), p in zip(pairs.items(), adjusted, strict=True)}
    return replace(every(parts), bases=len(facts.bases("lenses")))


DECIDE = {"R1": asymmetry_survives, "R2": gain_is_no_artefact, "N1": lenses_agree}
