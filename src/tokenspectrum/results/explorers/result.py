"""Runs that are judged one by one, their groups against the reference, and their curves."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from tokenspectrum.params.replicates import Replicate
from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.collapse import Verdict, judge
from tokenspectrum.results.comparison import averages, compare
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.explorers import RESULT
from tokenspectrum.results.given import Given
from tokenspectrum.results.lines import trailing_mean
from tokenspectrum.results.measured import Scores, read_scores
from tokenspectrum.results.outcome.rows import measures_of, of, spread
from tokenspectrum.results.sql import query_text
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
EMPTY: Row = dict.fromkeys(column.name for column in RESULT.columns)
MEASURES = ("Avg", "hardest", "without_hardest")
CURVES = {"reward": "reward, overlong penalty included", "length": "response length [tokens]"}
GROUPS = {"survivors": "C0", "collapsed": "C3"}


def compute(tables: Tables, given: Given) -> Answer:
    """Method by method: its runs, how many collapsed, its groups, and its curves."""
    text, sources = query_text("queries/training.sql"), ["metrics", "metrics_more"]
    found = {curve: values(tables.ask(text, of=sources, metrics=[curve])) for curve in CURVES}
    params = given["analysis.table1"]
    scores = read_scores(tables, [b.name for b in given["prompts.benchmarks"]], params.last_checkpoints)
    measures = {name: of_ for name, of_ in measures_of(tables, given).items() if name in MEASURES}
    rows: list[Row] = []
    for method in given.methods:
        verdicts = {
            r.seed: judge(
                list(found["length"][method, r.seed].values()),
                list(found["reward"][method, r.seed].values()),
                params.collapse,
            )
            for r in replicates_of(given, method)
        }
        rows += runs(given, method, verdicts, scores, measures)
        rows.append(collapse(given, method, verdicts))
        rows += groups(given, method, verdicts, scores, measures)
        rows += curves(given, method, verdicts, found)
    return Answer(rows)


def values(rows: Sequence[Row]) -> dict[tuple[str, int], dict[int, float]]:
    """Run and seed -> step -> value, steps in order."""
    out: dict[tuple[str, int], dict[int, float]] = {}
    for row in rows:
        out.setdefault((row["run"], row["seed"]), {})[row["step"]] = row["value"]
    return out


def replicates_of(given: Given, method: str) -> list[Replicate]:
    """The replicates of a method, and its extra runs."""
    extra = [Replicate(seed=one.seed, base=one.base) for one in given.more if one.method == method]
    return [*given.replicates, *extra]


def runs(
    given: Given, method: str, verdicts: Mapping[int, Verdict], scores: Scores, measures: Mapping[str, Sequence[str]]
) -> Iterator[Row]:
    """A row a run and measure."""
    reference = given.own.reference
    for replicate in replicates_of(given, method):
        verdict = verdicts[replicate.seed]
        head: Row = {
            "what": "run",
            "method": method,
            "seed": replicate.seed,
            "base": replicate.base,
            "n": 1,
            "bases": 1,
        }
        head |= {"mode": verdict.mode or "none", "since": verdict.since, "collapsed": int(verdict.mode is not None)}
        for metric, benchmarks in measures.items():
            (value,) = averages(scores, method, [replicate.seed], benchmarks)
            row = EMPTY | head | {"metric": metric, "of": of(given, benchmarks), "mean": value}
            if method != reference and (reference, replicate.seed) in scores.accuracy:
                (other,) = averages(scores, reference, [replicate.seed], benchmarks)
                row |= {"against": reference, "pairs": 1, "against_mean": other, "difference": value - other}
            yield row


def collapse(given: Given, method: str, verdicts: Mapping[int, Verdict]) -> Row:
    """How many runs collapsed, as a share with its exact interval."""
    n, count = len(verdicts), sum(verdict.mode is not None for verdict in verdicts.values())
    ends = stats.binomtest(count, n).proportion_ci(1 - given["analysis.table1"].alpha, "exact")
    share = {"mean": 100 * count / n, "low": 100 * float(ends.low), "high": 100 * float(ends.high)}
    bases = len({replicate.base for replicate in replicates_of(given, method)})
    head = {"what": "collapse", "method": method, "group": "all", "n": n, "bases": bases, "collapsed": count}
    return EMPTY | head | share


def members(given: Given, method: str, verdicts: Mapping[int, Verdict]) -> dict[str, list[Replicate]]:
    """All replicates, and those of either group."""
    every = replicates_of(given, method)
    survivors = [r for r in every if verdicts[r.seed].mode is None]
    return {
        "all": every,
        "survivors": survivors,
        "collapsed": [r for r in every if r not in survivors],
    }


def groups(
    given: Given, method: str, verdicts: Mapping[int, Verdict], scores: Scores, measures: Mapping[str, Sequence[str]]
) -> Iterator[Row]:
    """A row a group and measure, against the reference under the same replicates."""
    own, params = given.own, given["analysis.table1"]
    for group, replicates in members(given, method, verdicts).items():
        seeds = [replicate.seed for replicate in replicates]
        if not seeds:
            continue
        for metric, benchmarks in measures.items():
            paired = [r for r in replicates if (own.reference, r.seed) in scores.accuracy]
            found = compare(scores, method, own.reference, paired, params, benchmarks)
            head: Row = {
                "what": "group",
                "method": method,
                "group": group,
                "metric": metric,
                "of": of(given, benchmarks),
            }
            head |= {"collapsed": sum(verdicts[seed].mode is not None for seed in seeds)}
            row = EMPTY | head | spread(averages(scores, method, seeds, benchmarks), replicates)
            if found.against is not None:
                under = [r.seed for r in paired]
                other = float(np.mean(averages(scores, own.reference, under, benchmarks)))
                row |= {"against": found.against, "pairs": len(under), "against_mean": other}
                row |= {"difference": found.difference}
                row |= {"p": found.test and found.test.p, "p_flip": found.flip}
                row |= {"ci_low": found.test and found.test.low, "ci_high": found.test and found.test.high}
            yield row


def curves(
    given: Given,
    method: str,
    verdicts: Mapping[int, Verdict],
    found: Mapping[str, Mapping[tuple[str, int], Mapping[int, float]]],
) -> Iterator[Row]:
    """Each run's curve, then the mean of either group."""
    for curve, of_curve in found.items():
        head = EMPTY | {"what": "curve", "method": method, "metric": curve}
        for replicate in replicates_of(given, method):
            verdict = verdicts[replicate.seed]
            own = {"seed": replicate.seed, "base": replicate.base, "mode": verdict.mode or "none", "n": 1, "bases": 1}
            for step, value in of_curve[method, replicate.seed].items():
                yield head | own | {"step": step, "mean": value}
        for group, replicates in members(given, method, verdicts).items():
            if group == "all" or not replicates:
                continue
            for step in of_curve[method, replicates[0].seed]:
                there = [r for r in replicates if step in of_curve[method, r.seed]]
                at = [of_curve[method, r.seed][step] for r in there]
                yield head | {"group": group, "step": step} | spread(at, there)


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """A row a curve, a column a method: thin lines of runs, thick means of survivors and of collapsed."""
    labels, rule = given["analysis.table1"].labels, given["analysis.table1"].collapse
    counts = {row["method"]: row for row in rows if row["what"] == "collapse"}
    told = "; ".join(f"{labels.get(m, m)}: {row['collapsed']} of {row['n']} collapsed" for m, row in counts.items())
    captions = caption_lines(
        [
            f"Trailing mean of {given.own.smooth} steps; thin: a run; thick: mean of survivors and collapsed. {told}.",
            f"Collapsed, by windows of {rule.window} steps: length below {rule.length_below:g} times that of the first "
            f"window at the end, or above {rule.length_above:g} times it in some window, or at the end a reward more "
            f"than {rule.reward_drop:g} below the best window's.",
        ]
    )
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = 2.2 * len(CURVES) + foot + 0.8
    figure = blank(9.0, height)
    grid = figure.subplots(len(CURVES), len(given.methods), sharex=True, sharey="row", squeeze=False)
    for line, (curve, name) in zip(grid, CURVES.items(), strict=True):
        for axis, method in zip(line, given.methods, strict=True):
            of_panel = [r for r in rows if (r["what"], r["method"], r["metric"]) == ("curve", method, curve)]
            for seed in dict.fromkeys(row["seed"] for row in of_panel if row["seed"] is not None):
                run = [row for row in of_panel if row["seed"] == seed]
                group = "survivors" if run[0]["mode"] == "none" else "collapsed"
                plot(axis, run, given.own.smooth, color=GROUPS[group], linewidth=0.6, alpha=0.6)
            for group, colour in GROUPS.items():
                if mean := [row for row in of_panel if row["group"] == group]:
                    plot(axis, mean, given.own.smooth, color=colour, linewidth=2.4, label=group)
        line[0].set_ylabel(name)
    for axis, method in zip(grid[0], given.methods, strict=True):
        axis.set_title(labels.get(method, method), fontsize=8)
        axis.legend(frameon=False, loc="best")
    for axis in grid[-1]:
        axis.set_xlabel("training step")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    room = {"top": 1 - 0.3 / height, "bottom": (foot + 0.4) / height}
    figure.subplots_adjust(left=0.08, right=0.98, **room, hspace=0.12, wspace=0.08)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def plot(axis: Any, points: Sequence[Row], smooth: int, **style: Any) -> None:
    """One line."""
    axis.plot(
        [row["step"] for row in points], trailing_mean(np.array([row["mean"] for row in points]), smooth), **style
    )
