"""Panels of lines over training steps: a panel a metric, a line a method, a band over replicates.  Computes nothing.

A point is a row with method, metric, step, mean, low and high.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.figures import FigureSpec

WIDTH, PANEL_HEIGHT = 9.0, 2.2  # inches


def trailing_mean(values_S: np.ndarray, window: int) -> np.ndarray:
    """Mean of each step and the window - 1 steps before it, of those there are."""
    sums_S = np.cumsum(values_S)
    sums_S[window:] -= np.cumsum(values_S)[:-window]
    return sums_S / np.minimum(np.arange(1, len(values_S) + 1), window)


def panels(points: Sequence[Mapping[str, Any]], specs: Sequence[FigureSpec], labels: Mapping[str, str]) -> Figure:
    """A panel for each spec, one above the other; `labels` names the methods, in the order of their colours."""
    captions = caption_lines([spec.caption for spec in specs])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = PANEL_HEIGHT * len(specs) + foot + 0.5
    figure = blank(WIDTH, height)
    axes = figure.subplots(len(specs), 1, sharex=True, squeeze=False)[:, 0]
    for axis, spec in zip(axes, specs, strict=True):
        for i, method in enumerate(labels):
            line = [p for p in points if (p["method"], p["metric"]) == (method, spec.metric)]
            steps_S = np.array([p["step"] for p in line])
            mean_S, low_S, high_S = (
                trailing_mean(np.array([p[name] for p in line]), spec.smooth) for name in ("mean", "low", "high")
            )
            axis.plot(steps_S, mean_S, color=f"C{i}", linewidth=1.2, label=labels[method])
            if spec.n > 1:
                axis.fill_between(steps_S, low_S, high_S, color=f"C{i}", alpha=0.15, linewidth=0)
        axis.set_ylabel(textwrap.fill(spec.y_label, 24))
    axes[-1].set_xlabel("training step")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.subplots_adjust(left=0.09, right=0.78, top=1 - 0.15 / height, bottom=(foot + 0.4) / height, hspace=0.12)
    axes[0].legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure
