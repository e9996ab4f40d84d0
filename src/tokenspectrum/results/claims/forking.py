"""Claims of the FORKING paper: which tokens are forks, and what training on them alone gives."""

from dataclasses import replace

from tokenspectrum.results.claims.facts import AVG, BASE, FULL, Facts, less
from tokenspectrum.results.claims.judge import Finding, above, below, every, mean_of, opposite, stated, welch

HALF = 0.5
HOT, COLD = 1.5, 0.5
FEWEST = 3  # base policies
EQUAL = 1.0  # points of Avg within which two methods count as equal


def most_are_certain(facts: Facts) -> Finding:
    """The share of near certain tokens is above a half, on every base policy."""
    rows = facts.rows("pattern", what="near certain")
    sizes = {row["base"]: (row["value"], row["ci_low"], row["ci_high"], row["responses"], "responses") for row in rows}
    return replace(every({f"base {base}": stated(*size, HALF) for base, size in sizes.items()}), bases=len(rows))


def heat_belongs_to_forks(facts: Facts) -> Finding:
    """Heat at forks gives more than heat elsewhere, and cold there less than cold elsewhere, on every base policy."""
    parts = {}
    for row in facts.rows("forktemp", heated="forks less others"):
        size = (row["accuracy"], row["ci_low"], row["ci_high"], row["problems"], "problems")
        if row["temperature"] == HOT:
            parts[f"T' = {HOT}, base {row['base']}"] = stated(*size)
        elif row["temperature"] == COLD:
            parts[f"T' = {COLD}, base {row['base']}"] = opposite(stated(*size))
    if len(parts) < 2 * len(facts.bases("forktemp")):
        return Finding(note=f"results/forktemp.csv lacks T' = {HOT} or {COLD}; add it to hot_forks.temperatures")
    return replace(every(parts), bases=len(facts.bases("forktemp")))


def pattern_is_kept(facts: Facts) -> Finding:
    """At the last step, full's places of high entropy are the base policy's: above chance, and above another base's."""
    rows = facts.rows("overlap", what="overlap", method=FULL)
    if not rows:
        return Finding(note="results/overlap.csv has no row of full")
    end, others = rows[-1], facts.rows("overlap", what="overlap", method=BASE)
    kept = (end["mean"], end["sd"] or 0.0, end["n"])
    parts = {"percent more than chance": mean_of(*kept, "replicates", end["chance"])}
    # What base policies share is itself a mean over few pairs, and two policies have but one pair.
    parts["percent more than two base policies share"] = (
        welch(kept, (others[0]["mean"], others[0]["sd"] or 0.0, others[0]["bases"]), "replicates")
        if others and others[0]["bases"] >= FEWEST
        else Finding(note=f"it takes {FEWEST} base policies to say what two of them share")
    )
    return replace(every(parts), bases=end["bases"])


def forks_change_most(facts: Facts) -> Finding:
    """At the last step, the absolute change of entropy is larger in the top fifth than in the other four."""
    rows = facts.rows("overlap", what="contrast", method=FULL)
    if not rows:
        return Finding(note="results/overlap.csv has no row of full")
    end = rows[-1]
    found = stated(end["absolute"], end["absolute_ci_low"], end["absolute_ci_high"], end["n"], "replicates")
    return replace(found, bases=end["bases"])


def grows_with_size(facts: Facts) -> Finding:
    """pred_high20 less full is larger on the larger policy."""
    rows = [r for r in facts.rows("scaling", metric=AVG, method="pred_high20") if r["weights"] and r["difference_sd"]]
    if len({row["weights"] for row in rows}) < 2:
        return Finding(note="results/scaling.csv has fewer than two sizes with pred_high20 and a spread")
    smallest, largest = (pick(rows, key=lambda row: row["weights"]) for pick in (min, max))
    ends = [(row["difference"], row["difference_sd"], row["n"]) for row in (largest, smallest)]
    return replace(welch(ends[0], ends[1], "replicates"), bases=largest["bases"] + smallest["bases"])


def forks_suffice(facts: Facts) -> Finding:
    """pred_high20 is not below full by EQUAL, and pred_low80 is below it by more."""
    return every(
        {
            "high 20 % less full": above(less(facts, "pred_high20", FULL), -EQUAL),
            "low 80 % less full": below(less(facts, "pred_low80", FULL), -EQUAL),
        }
    )


DECIDE = {
    "F1": most_are_certain,
    "F2": heat_belongs_to_forks,
    "F3": pattern_is_kept,
    "F4": forks_change_most,
    "F5": forks_suffice,
    "F6": grows_with_size,
}
