"""Stage table1: scores and training metrics of the configured methods and seeds -> results/table1.csv and .md."""

import argparse
from pathlib import Path

from tokenspectrum.params.analysis import BenchmarkNames, Name, Names, Numbers, Table1Params
from tokenspectrum.params.base import read_sections
from tokenspectrum.results.measured import read_ends, read_scores
from tokenspectrum.results.table1.page import Facts, to_markdown
from tokenspectrum.results.table1.rows import build, to_csv
from tokenspectrum.stages.entry import run
from tokenspectrum.tokenlog.writer import atomic_path


def main(argv: list[str] | None = None) -> None:
    """Read, test and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluate", type=Path, required=True, help="folder of <method>-s<seed>/ with scores")
    parser.add_argument("--evaluate-base", type=Path, required=True, help="folder of s<seed>/ with the base's scores")
    parser.add_argument("--metrics", type=Path, required=True, help="folder of <method>-s<seed>/ with metrics")
    parser.add_argument("--csv", type=Path, required=True, help="the table as CSV")
    parser.add_argument("--md", type=Path, required=True, help="the table as a page")
    args = parser.parse_args(argv)
    preset, policy, benchmarks, methods, seeds, params = read_sections(
        **{
            "preset": Name,
            "policy.kind": Name,
            "prompts.benchmarks": BenchmarkNames,
            "methods": Names,
            "seeds": Numbers,
            "analysis.table1": Table1Params,
        }
    )
    names = [b.name for b in benchmarks.root]
    scores = read_scores(args.evaluate, args.evaluate_base, methods.root, seeds.root, names, params.last_checkpoints)
    ends = read_ends(args.metrics, methods.root, seeds.root, **params.collapse.model_dump())
    rows = build(scores, ends, methods.root, seeds.root, params)
    facts = Facts(preset.root, policy.root, benchmarks.root)
    columns = {"preset": facts.preset, "policy": facts.policy, "benchmarks": facts.kind}
    texts = {
        args.csv: to_csv(rows, facts.headings, columns),
        args.md: to_markdown(rows, scores, ends, facts, params),
    }
    for path, text in texts.items():
        with atomic_path(path) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    run(main)
