"""TensorBoard's event files: `tensorboard --logdir logs/train` shows all runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from tokenspectrum.systems.board import Row


class Tracker:
    """Curves as scalars, responses as a text: a Markdown table."""

    def __init__(self, folder: Path, name: str, first_step: int) -> None:
        # A resumed run repeats the steps after its checkpoint.  So points from first_step on are drawn again.
        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def table(self, step: int, rows: Sequence[Row]) -> None:
        lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
        lines += ["| " + " | ".join(_cell(value) for value in row.values()) + " |" for row in rows]
        self._writer.add_text("responses", "\n".join(lines), step)

    def close(self) -> None:
        self._writer.close()


def _cell(value: object) -> str:
    """A value that cannot end its cell or be read as HTML."""
    text = "" if value is None else str(value)
    for sign, code in (("&", "&amp;"), ("<", "&lt;"), ("|", "&#124;"), ("`", "&#96;"), ("\n", "<br>")):
        text = text.replace(sign, code)
    return text
