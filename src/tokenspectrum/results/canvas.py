"""A blank figure, and its PNG bytes.  The same drawing gives the same bytes.  Knows nothing of what is drawn."""

import io
import textwrap
from collections.abc import Sequence

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

LINE_HEIGHT = 0.16  # inches a line of caption
CAPTION_WIDTH = 150  # characters in a figure of 9 inches


def blank(width: float, height: float) -> Figure:
    """An empty figure (inches) in the default style, whatever the user's matplotlibrc says."""
    matplotlib.rcdefaults()
    matplotlib.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    return figure


def caption_lines(captions: Sequence[str]) -> list[str]:
    """Captions as lines to stand below a figure, each beginning a new one."""
    return [line for caption in captions for line in textwrap.wrap(caption, CAPTION_WIDTH)]


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes, without date and version."""
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
