"""Draws the benchmark's CSV: time and peak memory over length, log-log, one column a device, part and shape."""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def plot(source: Path, target: Path) -> None:
    """Write the figure of every panel that has at least two lengths."""
    with source.open() as file:
        rows = list(csv.DictReader(file))
    panels: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in rows:
        panels.setdefault((row["device"], row["part"], row["shape"]), []).append(row)
    panels = {key: own for key, own in panels.items() if len({row["length"] for row in own}) > 1}
    figure, axes = plt.subplots(2, len(panels), figsize=(5 * len(panels), 8), squeeze=False, layout="constrained")
    for column, ((device, part, shape), own) in enumerate(panels.items()):
        for axis, field, unit in (
            (axes[0][column], "median_ms", "ms"),
            (axes[1][column], "peak_mib", "MiB beyond inputs"),
        ):
            for peer in dict.fromkeys(row["peer"] for row in own):
                points = [(int(r["length"]), r[field]) for r in own if r["peer"] == peer and r[field] != "oom"]
                axis.plot(*zip(*[(n, max(float(v), 1e-3)) for n, v in points], strict=True), marker="o", label=peer)
            if field == "median_ms" and all(row["floor_ms"] for row in own):
                floor = sorted({(int(row["length"]), float(row["floor_ms"])) for row in own})
                axis.plot(*zip(*floor, strict=True), "k:", label="floor")
            axis.set(
                xscale="log", yscale="log", xlabel="tokens", ylabel=unit, title=f"{part}, {shape} shapes\n{device}"
            )
            lengths = sorted({int(row["length"]) for row in own})
            axis.set_xticks(lengths, [str(length) for length in lengths])
            axis.set_xticks([], minor=True)
            axis.legend(fontsize=8)
            axis.grid(visible=True, which="both", alpha=0.2)
    figure.savefig(target, dpi=90)
