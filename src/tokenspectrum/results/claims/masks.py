"""Claims on other masks: by predictive entropy, by loss, and under another denominator."""

from tokenspectrum.results.claims.facts import AVG, FULL, HARDEST, Facts, less
from tokenspectrum.results.claims.judge import Finding, above, below, every, within

EQUAL = 1.0  # points of Avg within which two methods count as equal


def predictive_high_matches_full(facts: Facts) -> Finding:
    """pred_high20 equals full in Avg within EQUAL, and is below it on the hardest benchmark."""
    return every(
        {
            "Avg": within(less(facts, "pred_high20", FULL, AVG), EQUAL),
            "hardest benchmark": below(less(facts, "pred_high20", FULL, HARDEST)),
        }
    )


def denominator_changes_severity_only(facts: Facts) -> Finding:
    """Anchors are above explorers under both denominators."""
    return every(
        {
            "selected": above(less(facts, "anchor20", "explorer20")),
            "all": above(less(facts, "anchor20_all", "explorer20_all")),
        }
    )


def other_halves_differ(facts: Facts) -> Finding:
    """The low end by predictive entropy and by loss is below full, and the high end equals full within EQUAL."""
    parts = {f"{score} low": below(less(facts, f"{score}_low20", FULL)) for score in ("pred", "loss")}
    parts |= {f"{score} high": within(less(facts, f"{score}_high20", FULL), EQUAL) for score in ("pred", "loss")}
    return every(parts)


DECIDE = {
    "A14": predictive_high_matches_full,
    "A16": denominator_changes_severity_only,
    "A17": other_halves_differ,
}
