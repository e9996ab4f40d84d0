"""A blank figure, and its bytes.  The same drawing gives the same bytes.  Knows nothing of what is drawn."""

import io
import textwrap
from collections.abc import Sequence

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

LINE_HEIGHT = 0.16  # inches a line of caption
CAPTION_WIDTH = 150  # characters in a figure of 9 inches
MARGIN = 0.08  # inches around all that is drawn
# Format -> its metadata, without date and version.
FORMATS = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def blank(width: float, height: float) -> Figure:
    """An empty figure (inches) in the default style, whatever the user's matplotlibrc says."""
    matplotlib.rcdefaults()
    matplotlib.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    return figure


def caption_lines(captions: Sequence[str], width: float = 9.0) -> list[str]:
    """Captions as lines to stand below a figure of `width` inches, each beginning a new one."""
    return [line for caption in captions for line in textwrap.wrap(caption, round(CAPTION_WIDTH * width / 9.0))]


def stamp(figure: Figure, text: str) -> None:
    """Put `text` above all that is drawn, at the right."""
    figure.text(1.0, 1.0 + MARGIN / figure.get_figheight(), text, fontsize=7, color="0.4", ha="right", va="bottom")


def written(figure: Figure, kind: str) -> bytes:
    """The figure in one of `FORMATS`.  It grows as far as it must, so that no legend or caption is cut."""
    out = io.BytesIO()
    metadata = FORMATS[kind]
    if kind == "png":  # its words go with it: a report shows them as text
        words = " ".join(" ".join(text.get_text() for text in figure.texts).split())
        metadata = metadata | {"Description": words}
    with matplotlib.rc_context({"svg.hashsalt": "tokenspectrum"}):
        figure.savefig(out, format=kind, metadata=metadata, bbox_inches="tight", pad_inches=MARGIN)
    return out.getvalue()
