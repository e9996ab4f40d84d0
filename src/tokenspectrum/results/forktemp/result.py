"""Heat at forks: accuracies with intervals over problems, and the figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.statistics import bootstrap_interval
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
FORKS, OTHERS, LESS = "forks", "others", "forks less others"
COLOURS = {FORKS: "C3", OTHERS: "C0"}
WIDTH, PANEL = 10.0, 2.7  # inches


def compute(tables: Tables, given: Given) -> Answer:
    """A row a base policy, setting and temperature; then the differences."""
    found, rows = tables.query("query.sql"), []
    for base in dict.fromkeys(row["base"] for row in found):
        own = [row for row in found if row["base"] == base]
        temperatures = sorted({row["temperature"] for row in own})
        of = {
            (heated, t): [row for row in own if (row["heated"], row["temperature"]) == (heated, t)]
            for heated in (FORKS, OTHERS)
            for t in temperatures
        }
        by = {key: by_benchmark(part) for key, part in of.items()}
        by |= {(LESS, t): less(by[FORKS, t], by[OTHERS, t]) for t in temperatures}
        for heated in (FORKS, OTHERS, LESS):
            for t in temperatures:
                low, high = interval(by[heated, t], given.own)
                gain = less(by[heated, t], by[heated, 1.0]) if (heated, 1.0) in by and t != 1 else None
                gain_low, gain_high = interval(gain, given.own) if gain else (None, None)
                part = of.get((heated, t))
                rows.append(
                    {
                        "base": base,
                        "heated": heated,
                        "temperature": t,
                        "threshold": own[0]["threshold"],
                        "accuracy": average(by[heated, t]),
                        "ci_low": low,
                        "ci_high": high,
                        "gain": average(gain) if gain else None,
                        "gain_low": gain_low,
                        "gain_high": gain_high,
                        "length": float(np.mean([row["length"] for row in part])) if part else None,
                        "problems": sum(len(value_P) for value_P in by[heated, t].values()),
                        "samples": own[0]["samples"],
                    }
                )
    return Answer(rows)


def by_benchmark(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Accuracy of each problem, by benchmark; the rows come ordered."""
    names = dict.fromkeys(row["benchmark"] for row in rows)
    return {name: np.array([row["accuracy"] for row in rows if row["benchmark"] == name]) for name in names}


def less(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The difference, problem by problem."""
    return {name: a[name] - b[name] for name in a}


def average(values: Mapping[str, np.ndarray]) -> float:
    """Mean over problems, then over benchmarks."""
    return float(np.mean([value_P.mean() for value_P in values.values()]))


def interval(values: Mapping[str, np.ndarray], own: Any) -> tuple[float, float]:
    """Percentile interval of `average`, by resampling the problems of each benchmark."""
    one = {name: value_P[None] for name, value_P in values.items()}
    return bootstrap_interval(one, own.draws, own.seed, 1 - own.alpha)


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """The figure."""
    return panels(rows, given)


def panels(rows: Sequence[Row], given: Given) -> Figure:
    """A panel a base policy: accuracy against T', for heat at forks and for heat elsewhere."""
    bases = list(dict.fromkeys(row["base"] for row in rows))
    captions = caption_lines([caption(rows, given)])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = PANEL + 0.9 + foot
    figure = blank(WIDTH, height)
    axes = figure.subplots(1, max(1, len(bases)), sharey=True, squeeze=False)[0]
    for axis, base in zip(axes, bases, strict=False):
        for heated, colour in COLOURS.items():
            own = [row for row in rows if (row["base"], row["heated"]) == (base, heated)]
            t = [row["temperature"] for row in own]
            axis.plot(
                t, [row["accuracy"] for row in own], "o-", color=colour, label=heated, markersize=3, linewidth=1.2
            )
            axis.fill_between(
                t, [r["ci_low"] for r in own], [r["ci_high"] for r in own], color=colour, alpha=0.15, linewidth=0
            )
        axis.axvline(1, color="0.7", linewidth=0.8)
        axis.set_title(f"base {base}", fontsize=8)
        axis.set_xlabel("temperature of the heated tokens")
    axes[0].set_ylabel("accuracy, percent")
    axes[0].legend(frameon=False, title="heated", title_fontsize=8)
    figure.subplots_adjust(left=0.07, right=0.98, top=1 - 0.35 / height, bottom=(foot + 0.55) / height, wspace=0.1)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def caption(rows: Sequence[Row], given: Given) -> str:
    """What the panels show, from what was computed."""
    cut = " to ".join(dict.fromkeys(f"{value:.3g}" for value in sorted({row["threshold"] for row in rows})))
    return (
        f"Accuracy of each base policy when forks (predictive entropy above {cut} nats) are "
        f"decoded at another temperature and the others at 1, and the reverse: mean of "
        f"{rows[0]['samples'] if rows else 0} samples over n = {rows[0]['problems'] if rows else 0} problems; bands: "
        f"intervals over {given.own.draws} resamples of problems."
    )
