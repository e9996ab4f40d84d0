"""Stage prompts: training problems and benchmarks in verl's Parquet schema, and a report of what was left out."""

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.prompts import PromptsParams
from tokenspectrum.prompts.choose import by_hash, of_levels
from tokenspectrum.prompts.decontaminate import clean
from tokenspectrum.prompts.golds import doubts
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.prompts.render import columns
from tokenspectrum.prompts.sources import Loaded, load
from tokenspectrum.stages.entry import run
from tokenspectrum.tables.prompts import SCHEMA
from tokenspectrum.tokenlog.writer import write_file, write_json, write_manifest

_log = logging.getLogger(__name__)


# At most so many of a kind are named in the report and the log.  Their number is always given.
_NAMED = 20


def _counts(name: str, loaded: Loaded, chosen: Sequence[Problem], contradictions: Sequence[str] = ()) -> dict[str, Any]:
    """The report of one dataset.  If it has contradictions or doubtful gold answers, they are reported and logged."""
    counts: dict[str, Any] = {"read": loaded.read, "left_out": loaded.left_out, "repeated": loaded.repeated}
    counts["chosen"] = len(chosen)
    found = {
        "contradictions": [*loaded.contradictions, *contradictions],
        "golds_in_doubt": doubts(chosen),
    }
    told = {
        "contradictions": "rows give a problem another gold than an earlier row, which counts",
        "golds_in_doubt": "golds that no answer may match",
    }
    for kind, lines in found.items():
        if lines:
            counts[kind] = {"count": len(lines), "first": lines[:_NAMED]}
            _log.warning("WARNING: dataset %s: %d %s:", name, len(lines), told[kind])
            for line in lines[:_NAMED]:
                _log.warning("  %s", line)
    return counts


def choose_benchmarks(
    params: PromptsParams,
) -> tuple[dict[str, list[Problem]], dict[str, list[Problem]], dict[str, Any]]:
    """Every whole benchmark, the part of it that is evaluated, and the counts for the report."""
    whole, chosen, report = {}, {}, {}
    for dataset in params.benchmarks:
        loaded = load(dataset, params.folder)
        whole[dataset.name] = loaded.problems
        chosen[dataset.name] = by_hash(of_levels(loaded.problems, dataset.levels, dataset.name), dataset)
        report[dataset.name] = _counts(dataset.name, loaded, chosen[dataset.name])
    return whole, chosen, report


def choose_training(
    params: PromptsParams, benchmarks: dict[str, list[Problem]]
) -> tuple[list[Problem], dict[str, Any]]:
    """The training problems of all sources and the report's counts.

    Each source is decontaminated against the whole benchmarks.  Then problems that repeat an earlier one are removed:
    up to typesetting, or word for word where nothing is to be decontaminated.  Then the source is limited.
    """
    problems: list[Problem] = []
    report: dict[str, Any] = {}
    seen: dict[str, Problem] = {}
    for dataset in params.train:
        loaded = load(dataset, params.folder)
        of_level = of_levels(loaded.problems, dataset.levels, dataset.name)
        if params.decontaminate:
            cleaned = clean(of_level, benchmarks, seen)
        else:
            cleaned = clean(of_level, {}, seen, alike=str)
        chosen = by_hash(cleaned.problems, dataset)
        problems += chosen
        report[dataset.name] = _counts(dataset.name, loaded, chosen, cleaned.contradictions) | {
            "other_levels": len(loaded.problems) - len(of_level),
            "duplicates": cleaned.duplicates,
            "contaminated": cleaned.contaminated,
            "contaminated_by_benchmark": cleaned.by_benchmark,
        }
    if not problems:
        raise UserError("prompts.train: every training problem is in a benchmark; give another source")
    return problems, report


def _fresh(folder: Path) -> Path:
    # The manifest must not list a file that an earlier run by hand left here.
    if folder.exists():
        shutil.rmtree(folder)
    return folder


def write(out: Path, params: PromptsParams) -> None:
    """Write `out`/train, `out`/benchmarks and `out`/report.json.  Everything is read before anything is written."""
    whole, benchmarks, benchmark_report = choose_benchmarks(params)
    training, training_report = choose_training(params, whole)
    folder = _fresh(out / "train")
    write_file(folder / "train.parquet", SCHEMA, columns(training, "train", params.instruction))
    write_manifest(folder)
    folder = _fresh(out / "benchmarks")
    for name, problems in benchmarks.items():
        write_file(folder / f"{name}.parquet", SCHEMA, columns(problems, "test", params.instruction))
    write_manifest(folder)
    report = {"benchmarks": benchmark_report, "train": training_report, "training_problems": len(training)}
    write_json(out / "report.json", report)
    dropped = sum(source["contaminated"] for source in training_report.values())
    _log.info("%d training problems, %d dropped as part of a benchmark", len(training), dropped)


def main(argv: list[str] | None = None) -> None:
    """Read params.prompts and write the stage's outputs under --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for train/, benchmarks/ and report.json")
    args = parser.parse_args(argv)
    (params,) = read_sections(prompts=PromptsParams)
    write(args.out, params)


if __name__ == "__main__":
    run(main, computes=False)
