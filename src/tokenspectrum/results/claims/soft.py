"""Claims on soft weights that move from anchors to explorers, against full-token training and against other orders."""

from dataclasses import replace

from tokenspectrum.results.claims.facts import AVG, FULL, HARDEST, Facts, less
from tokenspectrum.results.claims.judge import Finding, above, every, holm, stated

LAYERS = ("shallow", "mid", "deep")


def low2high_beats_full(facts: Facts) -> Finding:
    """low2high from each of three layers is above full; the three p-values are adjusted among themselves first."""
    parts = {layer: above(less(facts, f"low2high_{layer}", FULL)) for layer in LAYERS}
    adjusted = holm([part.p_for for part in parts.values()])
    return every({name: replace(part, p_for=p) for (name, part), p in zip(parts.items(), adjusted, strict=True)})


def order_matters(facts: Facts) -> Finding:
    """low2high is above its reverse on the hardest benchmark, and above both fixed weights in Avg."""
    return every(
        {
            "low2high less high2low, hardest": above(less(facts, "low2high_mid", "high2low_mid", HARDEST)),
            "low2high less static anchor, Avg": above(less(facts, "low2high_mid", "static_anchor_mid", AVG)),
            "low2high less static explorer, Avg": above(less(facts, "low2high_mid", "static_explorer_mid", AVG)),
        }
    )


def gain_transfers(facts: Facts) -> Finding:
    """low2high less full is above 0 on every policy that it was tried on."""
    rows = facts.rows("transfer", metric=AVG, method="low2high_mid")
    if len(rows) < 2:
        return Finding(note="results/transfer.csv has fewer than two policies with low2high_mid")
    parts = {
        str(row["policy"]): stated(row["difference"], row["ci_low"], row["ci_high"], row["n"], "replicates")
        for row in rows
    }
    return replace(every(parts), bases=sum(row["bases"] for row in rows))


DECIDE = {"A13": low2high_beats_full, "A15": order_matters, "A19": gain_transfers}
