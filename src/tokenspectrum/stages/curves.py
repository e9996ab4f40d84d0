"""Stage curves: training metrics of the configured methods and seeds -> results/curves.png and .csv."""

import argparse
from pathlib import Path

from tokenspectrum.params.analysis import CurvesParams, Labels, LayerNames, Names, Numbers, RuleAlignments
from tokenspectrum.params.base import read_sections
from tokenspectrum.results.curves.result import draw, read_points, to_csv
from tokenspectrum.results.figures import training_curve
from tokenspectrum.stages.entry import run
from tokenspectrum.tokenlog.writer import atomic_path


def main(argv: list[str] | None = None) -> None:
    """Read, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="folder of <method>-s<seed>/ with metrics")
    parser.add_argument("--csv", type=Path, required=True, help="the points as CSV")
    parser.add_argument("--png", type=Path, required=True, help="the figure")
    args = parser.parse_args(argv)
    methods, seeds, rules, layers, labels, params = read_sections(
        **{
            "methods": Names,
            "seeds": Numbers,
            "rules": RuleAlignments,
            "train.token_log.layers": LayerNames,
            "analysis.table1.labels": Labels,
            "analysis.curves": CurvesParams,
        }
    )
    # The metric is of the first logged layer.
    first = layers.root[0] if layers.root else "none"
    layer = "read by each rule" if first == "rule" else str(first)
    alignment = " or ".join(sorted({rules.root[m].alignment for m in methods.root}))
    specs = [training_curve(m, len(seeds.root), layer, alignment, params.smooth) for m in params.metrics]
    points = read_points(args.metrics, methods.root, seeds.root, params.metrics)
    with atomic_path(args.csv) as temporary:
        temporary.write_text(to_csv(points))
    with atomic_path(args.png) as temporary:
        temporary.write_bytes(draw(points, specs, {m: labels.root.get(m, m) for m in methods.root}))


if __name__ == "__main__":
    run(main)
