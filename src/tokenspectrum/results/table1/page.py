"""The page of table 1: the table, what it is a table of, and what was found.  The published figures stand apart.

Every sentence follows from the numbers.  Reads and computes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenspectrum.results.benchmarks import BenchmarkName, stand_ins
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import Ends, Scores
from tokenspectrum.results.table1 import Table1Params

Row = Mapping[str, Any]


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
    blocks = [f"Preset `{given['preset']}`, policy `{given['policy.kind']}`. Benchmarks: {shown}."]
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
        f" {averaged}, then over seeds. Avg is the arithmetic mean of the benchmarks, n the number of seeds, std the"
        " standard deviation of Avg over seeds. The strict verifier, which counts, and math-verify disagree on"
        f" {scores.disagreements} of {scores.n_samples} samples."
    )
    return blocks


def _measured(rows: Sequence[Row], benchmarks: Sequence[BenchmarkName], reference: str) -> str:
    headings = [b.heading for b in benchmarks]
    header = ["", *headings, "Avg", "n", "std", f"Δ to {reference}", "df", "p", "p Holm", "CI", "MDD"]
    body = []
    for row in rows:
        accuracies = [*(_f(row[name]) for name in headings), _f(row["Avg"]), str(row["n"]), _f(row["std"])]
        test = [_f(row["difference"], "+.2f"), _f(row["df"], "d"), _p(row["p"]), _p(row["p_holm"])]
        spans = [_interval(row["ci_low"], row["ci_high"]), _f(row["mdd"]), _interval(row["boot_low"], row["boot_high"])]
        body.append([row["row"], *accuracies, *test, *spans])
    return _table([*header, "bootstrap CI"], body)


def _method(rows: Sequence[Row], params: Table1Params, reference: str) -> list[str]:
    family = sum(row["p"] is not None for row in rows)
    cover, level, power = (f"{100 * x:g} %" for x in (1 - params.alpha, params.alpha, params.power))
    return [
        f"Δ is the difference of Avg from {reference}, in points; df, p and CI ({cover}) are of the two-sided paired"
        f" t-test over shared seeds; p Holm is adjusted over the {family} tested rows of this table. Blank: fewer than"
        " two seeds, or differences without any spread.",
        f"MDD is the smallest true difference that this test finds with {power} power: ncp sd / sqrt(n), where sd is"
        " the standard deviation of the paired differences and ncp the noncentrality at which a noncentral t with n - 1"
        f" degrees of freedom passes the two-sided cut at {level} that often.",
        f"Bootstrap CI is the {cover} percentile interval of Δ over {params.bootstrap.draws} draws of seeds, then of"
        " problems within each benchmark (the same problems for all drawn seeds). With few seeds it comes out narrow.",
    ]


def _findings(rows: Sequence[Row], scores: Scores, params: Table1Params, reference: str) -> list[str]:
    lines = []
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
            f"No row could be tested: that takes {reference} and at least two seeds whose differences have some spread."
        )
    elif not differ:
        lines.append(
            f"No row differs from {reference} after Holm at level {params.alpha:g}; {len(tested)} rows were tested."
        )
    for row in differ:
        side = "above" if row["difference"] > 0 else "below"
        lines.append(
            f"{row['row']} is {side} {reference} by {abs(row['difference']):.2f} points: CI"
            f" {_interval(row['ci_low'], row['ci_high'])}, p Holm {_p(row['p_holm'])}, n = {row['n']}."
        )
    for row in tested:
        excludes = {
            name: row[low] > 0 or row[high] < 0
            for name, low, high in (("t", "ci_low", "ci_high"), ("bootstrap", "boot_low", "boot_high"))
        }
        if excludes["t"] != excludes["bootstrap"]:
            yes, no = sorted(excludes, key=lambda name: not excludes[name])
            lines.append(f"{row['row']}: the {yes} interval excludes 0, the {no} interval does not.")
    return lines


def _collapse(ends: Mapping[tuple[str, int], Ends], params: Table1Params) -> list[str]:
    rule = params.collapse
    blocks = [
        f"A run counts as collapsed if, from its first {rule.window} steps to its last {rule.window} (of a shorter run,"
        f" from one half to the other), mean response length falls below {rule.length_below:g} times the first or rises"
        f" above {rule.length_above:g} times it, or mean reward falls by more than {rule.reward_drop:g}. Rows hold all"
        " seeds; rows named survivors hold those that did not collapse."
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


def to_markdown(rows: Sequence[Row], scores: Scores, ends: Mapping[tuple[str, int], Ends], given: Given) -> str:
    """The page as text."""
    params, benchmarks = given.own, given["prompts.benchmarks"]
    reference = params.labels.get(params.reference, params.reference)
    blocks = [
        "# Table 1",
        *_about(scores, given, benchmarks),
        "## Measured here",
        _measured(rows, benchmarks, reference),
        *_method(rows, params, reference),
        "## Findings",
        "\n".join(f"- {line}" for line in _findings(rows, scores, params, reference)),
        "## Collapse",
        *_collapse(ends, params),
        "## Published, not measured here",
        "The ANCHOR paper's figures (arXiv 2605.07660), percent, of Qwen3-8B-Base and its own data: not of what was run"
        " here. Its two families of experiments differ in set-up: read a figure against the full-token one beside it."
        " Our copy does not name the metric of the selective family's Avg; it is taken to be Avg.",
        _published(rows),
    ]
    return "\n\n".join(blocks) + "\n"
