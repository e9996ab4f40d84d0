"""Claims on training with a subset of the tokens: how much of full-token training is kept, and what is stable."""

from dataclasses import replace

from tokenspectrum.results.claims.facts import AVG, BASE, FULL, HARDEST, Facts, less, values
from tokenspectrum.results.claims.judge import Finding, Paired, above, below, counted, differs, every, none_of

KEPT = 0.95
HALF = 0.5
ALIKE = 1.0  # points: two methods nearer than this are alike


def random_keeps_most(facts: Facts) -> Finding:
    """The gain of random20 over the base policy, as a share of full's, a replicate: at least KEPT."""
    base, full, some = (values(facts, method, AVG) for method in (BASE, FULL, "random20"))
    if any(full[seed] <= base[seed] for seed in full):
        return Finding(note="full-token training gained nothing on a replicate, so there is no share of it")
    return above([(some[seed] - base[seed]) / (full[seed] - base[seed]) for seed in full], KEPT)


def anchors_are_stable(facts: Facts) -> Finding:
    """No seed of anchor20 collapses, and it is below full on the hardest benchmark."""
    parts = {
        "collapsed seeds": none_of(*collapsed(facts, "anchor20")),
        "hardest benchmark less full": below(less(facts, "anchor20", FULL, HARDEST)),
    }
    return every(parts)


def explorers_are_unstable(facts: Facts) -> Finding:
    """The share of explorer20's seeds, further runs included, that collapse is above a half."""
    rows = facts.rows("explorers", what="run", method="explorer20", metric=AVG)
    found = counted(sum(row["collapsed"] for row in rows), len(rows), HALF)
    return replace(found, bases=len({row["base"] for row in rows}))


def survivors_beat_full(facts: Facts) -> Finding:
    """Explorer20 less full on the hardest benchmark, over the seeds that did not collapse."""
    rows = facts.rows("explorers", what="run", method="explorer20", metric=HARDEST, collapsed=0)
    paired = [row for row in rows if row["difference"] is not None]
    found = above(Paired.of([row["difference"] for row in paired], [row["base"] for row in paired]))
    few = f"{len(paired)} survived beside a full-token run of the same seed; two are needed" if len(paired) < 2 else ""
    return replace(found, of="survivors", bases=len({row["base"] for row in paired}), note=few or found.note)


def position_does_not_explain(facts: Facts) -> Finding:
    """front20 is below back20, back20 below full, and anchor20 and explorer20 are like neither of the two halves."""
    parts = {
        "front less back": below(less(facts, "front20", "back20")),
        "back less full": below(less(facts, "back20", FULL)),
    }
    for part in ("anchor20", "explorer20"):
        for end in ("front20", "back20"):
            parts[f"{part} less {end}"] = differs(less(facts, part, end), ALIKE)
    return every(parts)


def collapsed(facts: Facts, method: str) -> tuple[int, int]:
    """How many seeds of a method collapsed, and how many there are."""
    rows = facts.rows("ends", method=method)
    return sum(bool(row["collapsed"]) for row in rows), len(rows)


DECIDE = {
    "A1": random_keeps_most,
    "A2": anchors_are_stable,
    "A3": explorers_are_unstable,
    "A4": survivors_beat_full,
    "A5": position_does_not_explain,
}
