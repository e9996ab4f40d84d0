"""The page of table 1: the table, what it is a table of, and what was found.  The published figures stand apart.

Every sentence follows from the numbers.  Reads and computes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tokenspectrum.results.benchmarks import BenchmarkName, stand_ins
from tokenspectrum.results.comparison import FEW, NOISE, Comparison
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import Ends, Scores
from tokenspectrum.results.statistics import MOST_FLIPPED
from tokenspectrum.results.table1 import Table1Params

Row = Mapping[str, Any]


class Facts(NamedTuple):
    """What the page tells beside the rows, which it has in the order of `comparisons`."""

    scores: Scores
    ends: Mapping[tuple[str, int], Ends]
    comparisons: Sequence[Comparison]


def _f(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else f"{value:{form}}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.2f} to {high:.2f}"


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _cited(value: object, sd: object = None) -> str:
    return "" if value is None else f"{value:.2f}" if sd is None else f"{value:.2f} ± {sd:.2f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _about(scores: Scores, given: Given, benchmarks: Sequence[BenchmarkName]) -> list[str]:
    sizes = {name: len(x_P) for name, x_P in next(iter(scores.accuracy.values())).items()}
    shown = ", ".join(f"{b.name} ({b.about}; {sizes[b.name]} problems)" for b in benchmarks)
    blocks = [f"Benchmarks: {shown}."]
    if made := stand_ins(benchmarks):
        which = "All benchmarks here" if len(made) == len(benchmarks) else ", ".join(made)
        blocks.append(
            f"**{which}: synthetic stand-ins made by this pipeline, not AIME, MATH or any other published benchmark."
            " Accuracies on them must not be set beside published ones.**"
        )
    k, last = scores.samples, given.own.last_checkpoints
    averaged = "at the final checkpoint" if last == 1 else f"over the last {last} checkpoints"
    blocks.append(
        f"Accuracy is mean@{k} in percent: the mean over exactly {k} samples of a problem, then over problems,"
        f" {averaged}, then over replicates. Avg is the arithmetic mean of the benchmarks, n the number of replicates,"
        " std the standard deviation of Avg over them. The strict verifier, which counts, and math-verify disagree on"
        f" {scores.disagreements} of {scores.n_samples} samples."
    )
    return [*blocks, _replicates(given)]


def _replicates(given: Given) -> str:
    """What a replicate is here, and what that leaves open."""
    bases = [replicate.base for replicate in given.replicates]
    text = f"A replicate is a base policy and a training seed: {len(bases)} here, on"
    if len(set(bases)) == 1:
        return (
            f"{text} one base policy. **One base policy: nothing here speaks of another.** Which tokens are anchors"
            " and which are explorers may be others on another base policy."
        )
    text += f" {len(set(bases))} base policies. Intervals and tests are over replicates."
    if len(bases) == len(set(bases)):
        return (
            f"{text} Each base policy is trained under one seed, so the spread is of both together: what is due to the"
            " base policy and what to the seed cannot be told apart."
        )
    return (
        f"{text} Replicates on one base policy are not independent where base policies differ. Then intervals are too"
        " narrow, and p-values too small. *sd bases* is the standard deviation of Δ that is due to the base policy, *sd"
        " seeds* that between seeds on one. They are of a one-way analysis of variance; a part below 0 is given as 0."
    )


def _measured(rows: Sequence[Row], benchmarks: Sequence[BenchmarkName], labels: Mapping[str, str]) -> str:
    headings = [b.heading for b in benchmarks]
    header = ["", *headings, "Avg", "n", "std", "Δ", "against", "bases above", "p", "p Holm", "p flip", "CI", "MDD"]
    parts = any(row["sd_seeds"] is not None for row in rows)
    body = []
    for row in rows:
        accuracies = [*(_f(row[name]) for name in headings), _f(row["Avg"]), str(row["n"]), _f(row["std"])]
        above = "" if row["bases_above"] is None else f"{row['bases_above']} of {row['bases']}"
        against = labels.get(row["against"], row["against"] or "")
        test = [_f(row["difference"], "+.2f"), against, f"**{above}**" if row["sign"] == "differs" else above]
        test += [_p(row["p"]), _p(row["p_holm"]), _p(row["p_flip"])]
        spans = [_interval(row["ci_low"], row["ci_high"]), _f(row["mdd"])]
        spans += [_f(row["sd_bases"]), _f(row["sd_seeds"])] if parts else []
        body.append([row["row"], *accuracies, *test, *spans, _interval(row["boot_low"], row["boot_high"])])
    header += ["sd bases", "sd seeds"] if parts else []
    if all(row["boot_low"] is None for row in rows):
        return _table(header, [cells[:-1] for cells in body])
    return _table([*header, "bootstrap CI"], body)


def _method(rows: Sequence[Row], params: Table1Params) -> list[str]:
    family = sum(row["p"] is not None for row in rows)
    cover, level, power = (f"{100 * x:g} %" for x in (1 - params.alpha, params.alpha, params.power))
    most = max(row["n"] for row in rows)
    return [
        "Δ is the difference of Avg from the method named beside it, in points. *Bases above* says on how many base"
        " policies it is above 0. It is bold where the sign differs between them: above 0 on one and below on another,"
        f" each by more than {NOISE:g} standard errors over problems.",
        f"p and CI ({cover}) are of the two-sided paired t-test over shared replicates, with n - 1 degrees of freedom."
        f" p Holm is adjusted over the {family} tested rows of this table. Blank: fewer than two replicates, or"
        " differences without any spread.",
        "p flip is the exact p-value of the sign-flip test, which assumes no normal distribution: the share of all 2^n"
        " patterns of signs whose mean is at least as far from 0."
        f" With n = {most} it cannot fall below {2.0 ** (1 - most):g}"
        + (f", so it can never pass {level}." if 2.0 ** (1 - most) > params.alpha else ".")
        + (f" It is not computed for more than {MOST_FLIPPED} replicates." if most > MOST_FLIPPED else ""),
        f"MDD is the smallest true difference that the t-test finds with {power} power: ncp sd / sqrt(n), where sd is"
        " the standard deviation of the paired differences and ncp the noncentrality at which a noncentral t with n - 1"
        f" degrees of freedom passes the two-sided cut at {level} that often.",
        *_bootstrap(rows, params, cover),
    ]


def _bootstrap(rows: Sequence[Row], params: Table1Params, cover: str) -> list[str]:
    if all(row["boot_low"] is None for row in rows):
        return [f"No bootstrap interval is given: of fewer than {FEW} replicates it is known to be too narrow."]
    return [
        f"Bootstrap CI is the {cover} percentile interval of Δ over {params.bootstrap.draws} draws of replicates, then"
        f" of problems within each benchmark (the same problems for all drawn replicates). Below {FEW} replicates it is"
        " known to be too narrow and left out."
    ]


def _findings(rows: Sequence[Row], facts: Facts, params: Table1Params) -> list[str]:
    lines, scores = [], facts.scores
    highest = max(row["Avg"] for row in rows if row["Avg"] is not None)
    if highest <= params.about_zero:
        lines.append(
            f"Accuracy is about zero: the highest Avg is {highest:.2f} %, and {scores.n_right} of {scores.n_samples}"
            " samples are right. The table shows that every stage ran on these data; it cannot tell methods apart."
        )
    tested = [row for row in rows if row["p_holm"] is not None]
    differ = [row for row in tested if row["p_holm"] <= params.alpha]
    if not tested:
        lines.append(
            f"No row could be tested: that takes {params.labels.get(params.reference, params.reference)} and at least"
            " two replicates whose differences have some spread."
        )
    elif not differ:
        lines.append(f"No difference passes Holm at level {params.alpha:g}; {len(tested)} rows were tested.")
    for row in differ:
        side = "above" if row["difference"] > 0 else "below"
        lines.append(
            f"{_pair(row, params)}: {side} by {abs(row['difference']):.2f} points, CI"
            f" {_interval(row['ci_low'], row['ci_high'])}, p Holm {_p(row['p_holm'])}, n = {row['n']}."
        )
    lines += _signs(rows, facts, params)
    for row in (row for row in tested if row["boot_low"] is not None):
        excludes = {
            name: row[low] > 0 or row[high] < 0
            for name, low, high in (("t", "ci_low", "ci_high"), ("bootstrap", "boot_low", "boot_high"))
        }
        if excludes["t"] != excludes["bootstrap"]:
            yes, no = sorted(excludes, key=lambda name: not excludes[name])
            lines.append(f"{_pair(row, params)}: the {yes} interval excludes 0, the {no} interval does not.")
    return lines


def _pair(row: Row, params: Table1Params) -> str:
    """A row as a contrast of two methods."""
    if row["against"] != params.reference:
        return row["row"]
    return f"{row['row']} against {params.labels.get(row['against'], row['against'])}"


def _signs(rows: Sequence[Row], facts: Facts, params: Table1Params) -> list[str]:
    """Which differences keep their sign on every base policy; one line for each that does not."""
    lines, kept, unclear = [], [], []
    for row, comparison in zip(rows, facts.comparisons, strict=True):
        if comparison.sign == "same":
            kept.append(f"{_pair(row, params)} ({'above' if row['difference'] > 0 else 'below'})")
        elif comparison.sign == "differs" and comparison.by_base:
            lines.append(f"**{_pair(row, params)}: the sign differs between base policies**: {_each(comparison)}.")
        elif comparison.sign == "unclear":
            unclear.append(f"{_pair(row, params)} ({_each(comparison)})")
    if kept:
        lines.append(f"The same sign on every base policy: {'; '.join(kept)}.")
    if unclear:
        lines.append(f"No sign on some base policy, as problems could turn it: {'; '.join(unclear)}.")
    return lines


def _each(comparison: Comparison) -> str:
    """The difference on each base policy, with its standard error over problems."""
    by_base, noise = comparison.by_base or {}, comparison.noise or {}
    errors = {base: f" ± {error:.2f}" for base, error in noise.items() if error is not None}
    return ", ".join(f"{d:+.2f}{errors.get(base, '')} on base {base}" for base, d in by_base.items())


def _collapse(ends: Mapping[tuple[str, int], Ends], params: Table1Params) -> list[str]:
    rule = params.collapse
    blocks = [
        f"A run counts as collapsed if, from its first steps to its last, {rule.window} of each (of a shorter run,"
        f" from one half to the other), mean response length falls below {rule.length_below:g} times the first or rises"
        f" above {rule.length_above:g} times it, or mean reward falls by more than {rule.reward_drop:g}. Rows hold all"
        " replicates; rows named survivors hold those that did not collapse."
    ]
    collapsed = [
        f"- {run}, seed {seed}: length {e.first_length:.1f} to {e.last_length:.1f} tokens, reward {e.first_reward:.2f}"
        f" to {e.last_reward:.2f}"
        for (run, seed), e in ends.items()
        if e.collapsed
    ]
    return [*blocks, "\n".join(collapsed) or f"None of the {len(ends)} runs collapsed."]


def _published(rows: Sequence[Row]) -> str:
    body = []
    for row in rows:
        c = {name.removeprefix("published_"): value for name, value in row.items() if name.startswith("published_")}
        if c["family"] is not None:
            own = [_cited(c["avg"], c["avg_sd"]), _cited(c["math"]), _cited(c["aime"], c["aime_sd"])]
            full = [_cited(c["full_avg"], c["full_avg_sd"]), _cited(c["full_aime"], c["full_aime_sd"])]
            body.append([row["row"], str(c["family"]), *own, *full])
    return _table(["", "family", "Avg", "MATH", "AIME", "full-token Avg", "full-token AIME"], body)


def to_markdown(rows: Sequence[Row], facts: Facts, given: Given) -> str:
    """The page as text."""
    params, benchmarks = given.own, given["prompts.benchmarks"]
    blocks = [
        "# Table 1",
        *_about(facts.scores, given, benchmarks),
        "## Measured here",
        _measured(rows, benchmarks, params.labels),
        *_method(rows, params),
        "## Findings",
        "\n".join(f"- {line}" for line in _findings(rows, facts, params)),
        "## Collapse",
        *_collapse(facts.ends, params),
        *_cited_apart(rows, benchmarks),
    ]
    return "\n\n".join(blocks) + "\n"


def _cited_apart(rows: Sequence[Row], benchmarks: Sequence[BenchmarkName]) -> list[str]:
    """The papers' figures, where the benchmarks are theirs or stand in for theirs."""
    if own := [b.name for b in benchmarks if b.is_own]:
        return [f"No published figure is shown: none is of {', '.join(own)}."]
    return [
        "## Published, not measured here",
        "The ANCHOR paper's figures (arXiv 2605.07660), percent, of Qwen3-8B-Base and its own data: not of what was run"
        " here. Its two families of experiments differ in set-up: read a figure against the full-token one beside it."
        " Our copy does not name the metric of the selective family's Avg; it is taken to be Avg.",
        _published(rows),
    ]
