"""The page of claims: how many of each verdict, a table, and what a verdict does not say.  Every sentence follows
from the rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenspectrum.results.claims.claim import SOURCES
from tokenspectrum.results.claims.verdict import FAILS, HOLDS, NOT_RUN, UNDECIDED
from tokenspectrum.results.given import Given

Row = Mapping[str, Any]
# What a value is over, for one of them.
ONE = {
    "replicates": "replicate",
    "survivors": "survivor",
    "seeds": "seed",
    "responses": "response",
    "problems": "problem",
    "base policies": "base policy",
}
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_RUN)
SHARED = ("replicates", "seeds", "survivors")  # what several of may be on one base policy
ACROSS = ("A19", "F6")  # n is of one preset's policy, and the base policies are those of several


def to_markdown(rows: Sequence[Row], given: Given, hardest: str | None) -> str:
    """The whole page; `hardest` is the benchmark that claims call so."""
    own, bases = given.own, len({replicate.base for replicate in given.replicates})
    counts = ", ".join(f"{sum(row['verdict'] == v for row in rows)} {v}" for v in VERDICTS)
    n = len(given.replicates)
    blocks = [
        "# Claims",
        f"{plural(n, 'replicate')} on {plural(bases, 'base policy')}. Of {len(rows)} claims: {counts}.",
        *warnings(n, bases, [b.name for b in given["prompts.benchmarks"] if b.is_stand_in]),
        *([f"Hardest here: {hardest}, of the lowest accuracy of the base policies."] if hardest else []),
        table(rows),
        "## How each is decided",
        rules(rows),
        f"A claim *holds* where the p-value for it is below {own.alpha:g} after Holm over the claims of its family that"
        " have a p-value. It *fails* where the one against it is, and so does an effect that is off 0 but within the"
        " margin that counts as none. An interval that ends at the threshold contains it,"
        " so it decides nothing. Otherwise it is *undecided*, and *could have seen* is the"
        " smallest distance from the threshold, in the unit of the value, that these data show with a power of"
        f" {own.power:g}. A claim of several parts holds if all do, and fails if one does; its numbers are those of the"
        " part that decides. The interval covers 95 %, before Holm and of the deciding part alone; so is what could"
        " have been seen.",
        *dependent(rows),
        "A verdict speaks of this policy and of these runs. *Undecided* is no evidence that there is no effect.",
        "Sources: " + "; ".join(f"{name}: {about}" for name, about in SOURCES.items()) + ".",
    ]
    return "\n\n".join(blocks) + "\n"


def warnings(n: int, bases: int, stand_ins: Sequence[str]) -> list[str]:
    """What the reader must know first."""
    lines = []
    if stand_ins:
        lines.append(
            f"**{', '.join(stand_ins)}: synthetic stand-ins made by this pipeline. Published figures are of other"
            " problems and of another policy.**"
        )
    if n == 1:
        lines.append(
            "**One replicate: a verdict that needs spread over replicates is undecided, whatever the number.**"
        )
    elif bases == 1:
        lines.append("**One base policy: nothing here speaks of another.**")
    return lines


def dependent(rows: Sequence[Row]) -> list[str]:
    """Which claims take trainings for independent of which several share a base policy."""
    shared = [
        row["id"]
        for row in rows
        if row["of"] in SHARED and row["id"] not in ACROSS and row["bases"] and 1 < row["bases"] < row["n"]
    ]
    if not shared:
        return []
    return [
        f"**Several trainings on one base policy are taken for independent in {', '.join(shared)}.** Where base"
        " policies differ, the interval is too narrow there, and p too small."
    ]


def table(rows: Sequence[Row]) -> str:
    """A row a claim."""
    header = ["", "claim", "verdict", "value", "95 % interval", "n", "could have seen; note", "published"]
    body = []
    for row in rows:
        if row["verdict"] == NOT_RUN:
            body.append([row["id"], row["claim"], NOT_RUN, row["note"], "", "", "", row["published"] or ""])
            continue
        n = f"{row['n']} {ONE.get(row['of'], row['of']) if row['n'] == 1 else row['of']}" if row["n"] else ""
        if row["n"] and row["bases"] and row["of"] != "base policies":
            n += f", {plural(row['bases'], 'base policy')}"
        shown, interval = stated_value(row)
        seen = "; ".join(filter(None, [short(row["detectable"]), row["note"]]))
        said = f"**{row['verdict']}**" if row["verdict"] in (HOLDS, FAILS) else row["verdict"]
        body.append([row["id"], row["claim"], said, shown, interval, n, seen, row["published"] or ""])
    return markdown(header, body)


def with_part(row: Row) -> str:
    """The value behind the part that it is of; nothing where there is no value."""
    named = row["part"] and row["value"] is not None
    return f"{row['part']}: {short(row['value'])}" if named else short(row["value"])


def stated_value(row: Row) -> tuple[str, str]:
    """The value, with the part that it is of, and its interval; empty where there is none."""
    return with_part(row), "" if row["ci_low"] is None else f"{short(row['ci_low'])} to {short(row['ci_high'])}"


def rules(rows: Sequence[Row]) -> str:
    """Where each is claimed, what is measured, and the rule."""
    header = ["", "where", "measured", "it holds if", "family", "p for", "p against"]
    body = [
        [
            row["id"],
            f"{row['source']} {row['place']}",
            row["measure"],
            row["rule"],
            row["family"],
            probability(row["p_for_holm"]),
            probability(row["p_against_holm"]),
        ]
        for row in rows
    ]
    return markdown(header, body)


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines)


def short(value: float | None) -> str:
    """A number to three digits."""
    return "" if value is None else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def probability(value: float | None) -> str:
    """A p-value after Holm."""
    return "" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def plural(n: int, what: str) -> str:
    """1 replicate, 3 replicates."""
    return f"{n} {what if n == 1 else what[:-1] + 'ies' if what.endswith('y') else what + 's'}"
