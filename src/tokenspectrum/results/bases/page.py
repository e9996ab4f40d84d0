"""The page of base policies side by side.  Every sentence follows from the rows.  Computes no share."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tokenspectrum.results.comparison import NOISE, sign_between, sign_of
from tokenspectrum.results.given import Given

Row = Mapping[str, Any]


class Separation(NamedTuple):
    """A kind of token whose share differs most between base policies where a contrast is above 0 and where it is below.

    `gap` is the distance between the two groups, percent; above 0 the groups do not overlap.
    """

    part: str
    aspect: str
    value: str
    above: list[float]
    below: list[float]

    @property
    def gap(self) -> float:
        return max(min(self.above) - max(self.below), min(self.below) - max(self.above))


def to_markdown(rows: Sequence[Row], given: Given, layer: int) -> str:
    """The page as text."""
    bases = list(dict.fromkeys(row["base"] for row in rows))
    blocks = ["# Base policies side by side", about(given, bases), "## Outcomes", outcomes(rows, given, bases)]
    blocks += ["\n".join(f"- {line}" for line in findings(rows, given, bases, layer))]
    blocks += [f"## What anchors and explorers are made of at layer {layer}", made_of(rows, bases, layer)]
    return "\n\n".join(blocks) + "\n"


def about(given: Given, bases: Sequence[int]) -> str:
    """What is compared, and how much that can say."""
    if len(bases) == 1:
        return "One base policy: nothing here speaks of another."
    last = given["analysis.table1"].last_checkpoints
    averaged = "of the final policies" if last == 1 else f"mean over the last {last} checkpoints"
    return (
        f"{len(bases)} base policies, {len(given.replicates)} replicates. Avg is the arithmetic mean of the benchmarks,"
        f" percent, {averaged}; a difference is in points."
    )


def outcomes(rows: Sequence[Row], given: Given, bases: Sequence[int]) -> str:
    """Avg of every method on every base policy, as a table."""
    labels = given["analysis.table1"].labels
    body = []
    for method in ("base", *given.methods):
        found = {row["base"]: row["percent"] for row in rows if (row["method"], row["aspect"]) == (method, "Avg")}
        body.append([labels.get(method, method), *(f"{found[base]:.2f}" for base in bases)])
    return table(["", *(f"base {base}" for base in bases)], body)


def signs(rows: Sequence[Row]) -> dict[tuple[str, str], dict[int, int]]:
    """(method, other) -> base policy -> sign of the difference, 0 within the noise of the problems."""
    found: dict[tuple[str, str], dict[int, int]] = {}
    for row in rows:
        if row["aspect"] == "difference":
            found.setdefault((row["method"], row["value"]), {})[row["base"]] = sign_of(row["percent"], row["noise"])
    return found


def findings(rows: Sequence[Row], given: Given, bases: Sequence[int], layer: int) -> Iterator[str]:
    """Each contrast whose sign differs between base policies, and what separates them; then how many kept theirs."""
    labels, found = given["analysis.table1"].labels, signs(rows)
    kept = unclear = 0
    for (method, other), by_base in found.items():
        between = sign_between(by_base.values())
        kept, unclear = kept + (between == "same"), unclear + (between == "unclear")
        if between != "differs":
            continue
        above, below, level = ([b for b in bases if by_base[b] == sign] for sign in (1, -1, 0))
        groups = {"above": above, "below": below, "within noise": level}
        name = f"{labels.get(method, method)} against {labels.get(other, other)}"
        each = ", ".join(f"{word} on {among(group)}" for word, group in groups.items() if group)
        yield f"**{name}: the sign differs**: {each}. {separates(rows, above, below, layer)}"
    if len(bases) > 1:
        yield (
            f"{kept} of {len(found)} contrasts have the same sign on all {len(bases)} base policies. {unclear} cannot"
            f" tell: a difference within {NOISE:g} standard errors over problems has no sign."
        )


def separates(rows: Sequence[Row], above: Sequence[int], below: Sequence[int], layer: int) -> str:
    """One sentence: the kind of token whose share tells the two groups apart best."""
    every = list(separations(rows, above, below, layer))
    best = max(every, key=lambda one: one.gap, default=None)
    if best is None or best.gap <= 0:
        return "No kind of token tells the two groups apart: their shares overlap."
    what = f"the {best.part} of layer {layer}"
    return (
        f"What separates them most: {kind_of(best)} are {span(best.above)} of {what} where it is above, and"
        f" {span(best.below)} where it is below. It is the largest gap of {len(every)} kinds, picked after the fact: it"
        " describes these base policies, and is no cause that was tested."
    )


def separations(rows: Sequence[Row], above: Sequence[int], below: Sequence[int], layer: int) -> Iterator[Separation]:
    """Every type, fork and fifth, in anchors and in explorers; a kind that a base policy lacks has the share 0."""
    made = [row for row in rows if row["layer"] == layer and row["aspect"] in ("type", "position", "fork")]
    shares = {(row["base"], row["part"], row["aspect"], row["value"]): row["percent"] for row in made}
    for part, aspect, value in dict.fromkeys((row["part"], row["aspect"], row["value"]) for row in made):
        values = [[shares.get((base, part, aspect, value), 0.0) for base in group] for group in (above, below)]
        yield Separation(part, aspect, value, *values)


def kind_of(one: Separation) -> str:
    """The kind of token in words."""
    if one.aspect == "fork":
        return "forks (the tokens of highest predictive entropy)"
    return f"tokens of the {one.value} of their response" if one.aspect == "position" else f"tokens of type {one.value}"


def span(values: Sequence[float]) -> str:
    """34 %, or 34 to 41 %."""
    low, high = round(min(values)), round(max(values))
    return f"{low} %" if low == high else f"{low} to {high} %"


def among(bases: Sequence[int]) -> str:
    """base 1, or bases 1, 2."""
    return f"base{'s' if len(bases) > 1 else ''} {', '.join(map(str, bases))}"


def made_of(rows: Sequence[Row], bases: Sequence[int], layer: int) -> str:
    """A row a base policy and part: shares of types and forks, and its frequent tokens."""
    body = []
    for base in bases:
        for part, at in (("anchors", layer), ("explorers", layer), ("all", None)):
            own = [r for r in rows if (r["base"], r["part"], r["layer"]) == (base, part, at)]
            kinds = {aspect: [r for r in own if r["aspect"] == aspect] for aspect in ("type", "fork", "token")}
            shown = [", ".join(f"{r['value']} {r['percent']:.0f}" for r in kinds["type"] if r["percent"] >= 0.5)]
            shown.append(", ".join(f"{r['percent']:.0f}" for r in kinds["fork"]) or "0")
            shown.append(" ".join(f"`{quoted(r['value'])}` {r['percent']:.0f}" for r in kinds["token"]))
            body.append([str(base), part, *shown])
    return table(["base", "part", "types, percent", "forks, percent", "frequent tokens, percent"], body)


def quoted(text: str) -> str:
    """A token's text that cannot break a table: blanks and line ends are shown, bars and backticks are named."""
    return text.replace("\n", "\\n").replace("|", "¦").replace("`", "'").replace(" ", "␣") or "(empty)"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
