"""Panels of lines over training steps: a row a metric, a column a method, a band over replicates.  Computes nothing.

A point is a row with method, metric, step, mean, low and high.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.figures import FigureSpec

FEW_POINTS = 12  # of so few points each is marked
LEFT, PANEL_WIDTH, PANEL_HEIGHT, LEAST_WIDTH = 0.8, 1.5, 1.7, 9.0  # inches


def trailing_mean(values_S: np.ndarray, window: int) -> np.ndarray:
    """Mean of each step and the window - 1 steps before it, of those there are."""
    sums_S = np.cumsum(values_S)
    sums_S[window:] -= np.cumsum(values_S)[:-window]
    return sums_S / np.minimum(np.arange(1, len(values_S) + 1), window)


def panels(
    points: Sequence[Mapping[str, Any]], specs: Sequence[FigureSpec], labels: Mapping[str, str], reference: str
) -> Figure:
    """A row of panels for each spec, a column for each method but the reference, which is in every panel.

    `labels` names the methods, in the order of their colours.  Lines that coincide are in different columns.
    """
    shown = [method for method in labels if method != reference] or list(labels)
    width = LEFT + len(shown) * max(PANEL_WIDTH, (LEAST_WIDTH - LEFT) / len(shown))
    captions = caption_lines([*(spec.caption for spec in specs), *_dashed(labels, reference)], width)
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = PANEL_HEIGHT * len(specs) + foot + 0.9
    figure = blank(width, height)
    axes = figure.subplots(len(specs), len(shown), sharex=True, sharey="row", squeeze=False)
    colours = {method: f"C{i}" for i, method in enumerate(labels)}
    for row, spec in zip(axes, specs, strict=True):
        for axis, method in zip(row, shown, strict=True):
            _panel(axis, points, spec, method, colours[method])
            if reference in labels and len(labels) > 1:
                steps_S, mean_S, _, _ = _line(points, spec, reference)
                # On top of all, and dashed: a line below it is seen in the gaps.
                axis.plot(steps_S, mean_S, color="black", linewidth=1.8, dashes=(3, 2), zorder=5)
        row[0].set_ylabel(textwrap.fill(spec.y_label, 24))
    for axis, method in zip(axes[0], shown, strict=True):
        axis.set_title(textwrap.fill(labels[method], 18), fontsize=8, color=colours[method])
    for axis in axes[-1]:
        axis.set_xlabel("training step")
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    figure.subplots_adjust(
        left=LEFT / width, right=0.99, top=1 - 0.5 / height, bottom=(foot + 0.4) / height, hspace=0.14, wspace=0.12
    )
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def _dashed(labels: Mapping[str, str], reference: str) -> list[str]:
    """The caption of the reference's line, where there is one."""
    return (
        [f"dashed black line in every panel: {labels[reference]}."] if len(labels) > 1 and reference in labels else []
    )


def _line(points: Sequence[Mapping[str, Any]], spec: FigureSpec, method: str) -> tuple[np.ndarray, ...]:
    """Steps of a method's line, and the trailing means of mean, lowest and highest there."""
    line = [p for p in points if (p["method"], p["metric"]) == (method, spec.metric)]
    ends = (trailing_mean(np.array([p[name] for p in line]), spec.smooth) for name in ("mean", "low", "high"))
    return np.array([p["step"] for p in line]), *ends


def _panel(axis: Axes, points: Sequence[Mapping[str, Any]], spec: FigureSpec, method: str, colour: str) -> None:
    steps_S, mean_S, low_S, high_S = _line(points, spec, method)
    marker = "o" if len(steps_S) <= FEW_POINTS else None
    axis.plot(steps_S, mean_S, color=colour, linewidth=1.5, marker=marker, markersize=3)
    if spec.n > 1:
        axis.fill_between(steps_S, low_S, high_S, color=colour, alpha=0.2, linewidth=0)
