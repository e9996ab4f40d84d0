"""Stage layers: how far layers agree on the base policy's probe -> results/layers.csv and .png."""

import argparse
from pathlib import Path

from tokenspectrum.params.analysis import Alignment, LayersParams
from tokenspectrum.params.base import read_sections
from tokenspectrum.results.layers.result import compare, draw, specs, to_csv
from tokenspectrum.stages.entry import run
from tokenspectrum.tokenlog.writer import atomic_path


def main(argv: list[str] | None = None) -> None:
    """Compare, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attention", type=Path, required=True, help="folder of the probe's table attention")
    parser.add_argument("--tokens", type=Path, required=True, help="folder of the probe's table tokens")
    parser.add_argument("--csv", type=Path, required=True, help="the pairs as CSV")
    parser.add_argument("--png", type=Path, required=True, help="the heat maps")
    args = parser.parse_args(argv)
    params, alignment = read_sections(**{"analysis.layers": LayersParams, "tokens.alignment": Alignment})
    pairs = compare(args.attention, args.tokens, params.p, params.score)
    with atomic_path(args.csv) as temporary:
        temporary.write_text(to_csv(pairs))
    with atomic_path(args.png) as temporary:
        temporary.write_bytes(draw(pairs, specs(pairs, params.p, params.score, alignment.root)))


if __name__ == "__main__":
    run(main)
