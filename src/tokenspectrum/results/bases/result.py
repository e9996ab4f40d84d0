"""Base policies side by side: outcomes by the scores, composition by SQL, and their figure."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.results.bases.page import to_markdown
from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.comparison import averages, compare
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import BASE, read_scores
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
EMPTY: Row = dict.fromkeys(("base", "what", "method", "part", "layer", "aspect", "value", "percent", "noise", "n"))
WIDTH, PANEL = 10.0, 2.4  # inches
# In one order and colour wherever they are drawn.
KINDS = ("special", "digit", "operator", "punctuation", "whitespace", "word")


def compute(tables: Tables, given: Given) -> Answer:
    """Outcomes of every base policy, then what its partitions are made of."""
    rows = list(outcomes(tables, given))
    options = given.own.model_dump(include={"p", "score", "frequent"})
    made = tables.query("made_of.sql", of=["attention", "tokens", "vocab"], macros=["queries/macros.sql"], **options)
    return Answer([*rows, *(EMPTY | {"what": "made of"} | row for row in made)])


def outcomes(tables: Tables, given: Given) -> Iterator[Row]:
    """Avg of every method on every base policy, then the differences that table1 tests."""
    params = given["analysis.table1"]
    scores = read_scores(tables, [b.name for b in given["prompts.benchmarks"]], params.last_checkpoints)
    bases = list(dict.fromkeys(replicate.base for replicate in given.replicates))
    pairs = [(method, params.reference) for method in given.methods if method != params.reference]
    pairs += [pair for pair in params.contrasts if set(pair) <= set(given.methods)]
    for base in bases:
        replicates = [replicate for replicate in given.replicates if replicate.base == base]
        seeds = [replicate.seed for replicate in replicates]
        head = EMPTY | {"base": base, "what": "outcome", "n": len(seeds)}
        for method in (BASE, *given.methods):
            value = float(np.mean(averages(scores, method, seeds)))
            yield head | {"method": method, "aspect": "Avg", "percent": value}
        for method, other in pairs:
            found = compare(scores, method, other, replicates, params)
            if found.difference is not None and found.noise is not None:
                row = {"method": method, "aspect": "difference", "value": other, "percent": found.difference}
                yield head | row | {"noise": found.noise[base]}


def page(answer: Answer, given: Given) -> str:
    """Markdown: outcomes, what the partitions are made of, and what separates base policies where a sign differs."""
    return to_markdown(answer.rows, given, shown_layer(given))


def shown_layer(given: Given) -> int:
    """The layer that the figure and the page show."""
    return resolve_layer(given.own.layer, given["policy"].num_layers)


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """Outcomes by base policy, and the types of anchors and explorers there."""
    return panels(rows, given, shown_layer(given))


def panels(rows: Sequence[Row], given: Given, layer: int) -> Figure:
    """Left: the difference of each method from the reference.  Right: types of anchors, explorers and all tokens."""
    params = given["analysis.table1"]
    bases = list(dict.fromkeys(row["base"] for row in rows))
    captions = caption_lines(captions_of(given, layer, len(bases)))
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = max(PANEL, 0.32 * len(given.methods) + 0.8) + foot + 0.9
    figure = blank(WIDTH, height)
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.2, right=0.86, top=1 - 0.3 / height, bottom=(foot + 0.6) / height, wspace=0.35)
    labels = {method: params.labels.get(method, method) for method in given.methods}
    others = [method for method in given.methods if method != params.reference]
    for i, base in enumerate(bases):
        found = {
            row["method"]: row["percent"]
            for row in rows
            if (row["base"], row["aspect"], row["value"]) == (base, "difference", params.reference)
        }
        offset = 0.16 * (i - (len(bases) - 1) / 2)
        places = [(len(others) - 1 - y + offset, found[method]) for y, method in enumerate(others) if method in found]
        left.plot(
            [x for _, x in places], [y for y, _ in places], "o", color=f"C{i}", label=f"base {base}", markersize=5
        )
    left.axvline(0, color="0.6", linewidth=1)
    left.set_yticks(range(len(others)), [labels[method] for method in reversed(others)])
    left.set_xlabel(f"Avg less that of {labels.get(params.reference, params.reference)}, points")
    left.legend(frameon=False, loc="best")
    bars = [(base, part) for base in bases for part in ("anchors", "explorers")]
    for x, (base, part) in enumerate(bars):
        bottom = 0.0
        for i, kind in enumerate(KINDS):
            share = share_of(rows, base, part, layer, "type", kind)
            right.bar(x, share, bottom=bottom, color=f"C{i}", label=kind if x == 0 else None, width=0.8)
            bottom += share
    right.set_xticks(range(len(bars)), [f"{part}\nbase {base}" for base, part in bars], fontsize=7)
    right.set_ylabel("share of the tokens, percent")
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def share_of(rows: Sequence[Row], base: int, part: str, layer: int | None, aspect: str, value: str) -> float:
    """Percent of a part's tokens that are of this kind; 0 where it has none."""
    wanted = {"base": base, "part": part, "layer": layer, "aspect": aspect, "value": value}
    return next((row["percent"] for row in rows if all(row[name] == v for name, v in wanted.items())), 0.0)


def captions_of(given: Given, layer: int, bases: int) -> list[str]:
    """One sentence a panel, from what was computed."""
    own, params = given.own, given["analysis.table1"]
    n = len(given.replicates)
    return [
        f"left: difference of Avg from {params.labels.get(params.reference, params.reference)} on each of {bases} base "
        f"policies, mean over its replicates; n = {n} replicates in all; points right of the line are above it.",
        f"right: types of the probe's tokens with the lowest (anchors) and highest (explorers) {own.score} of layer "
        f"{layer}, p = {own.p:g} of each response; alignment {given['tokens.alignment']}.",
    ]
