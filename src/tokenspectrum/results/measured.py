"""What was measured, read through manifests and checked: accuracy by problem, and which training runs collapsed.

Reads scores and metrics of exactly the given methods and seeds.  Knows nothing of rows, tests or files it writes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tokenspectrum.results.files import metric_files, query_rows, table_files
from tokenspectrum.results.sql import query_text
from tokenspectrum.errors import UserError

BASE = "base"


@dataclass(frozen=True)
class Scores:
    """Accuracy of every run and seed.

    accuracy[run, seed][benchmark] is accuracy_P by problem, the same problems in the same order for all runs; `samples`
    a problem; and over all of them together n_right of n_samples, and on how many the two verifiers disagree.
    """

    accuracy: dict[tuple[str, int], dict[str, np.ndarray]]
    samples: int
    n_right: int
    n_samples: int
    disagreements: int


@dataclass(frozen=True)
class Ends:
    """Mean response length (tokens) and reward over the first and the last steps of a training run."""

    first_length: float
    last_length: float
    first_reward: float
    last_reward: float
    collapsed: bool


def read_scores(
    evaluate: Path,
    evaluate_base: Path,
    methods: Sequence[str],
    seeds: Sequence[int],
    benchmarks: Sequence[str],
    checkpoints: int,
) -> Scores:
    """Scores of all methods and of the base policy under all seeds; trained runs over their last `checkpoints`.

    Raises UserError where a folder is incomplete, or where runs were not asked the same problems equally often.
    """
    folders = {(m, s): evaluate / f"{m}-s{s}" for m in methods for s in seeds}
    trained = [name for (m, s), folder in folders.items() for name in table_files(folder, "scores", m, s)]
    base = [name for s in seeds for name in table_files(evaluate_base / f"s{s}", "scores", BASE, s)]
    text = query_text("queries/accuracy.sql")
    rows = query_rows("scores", trained, text, {"checkpoints": checkpoints}) if trained else []
    for run, seed, *_, found, _, _ in rows:
        if found != checkpoints:
            raise UserError(
                f"{folders[run, seed]}: {found} evaluated checkpoints, analysis.table1.last_checkpoints asks for"
                f" {checkpoints}; add steps to evaluate, or lower it"
            )
    rows += query_rows("scores", base, text, {"checkpoints": 1})
    problems: dict[tuple[str, int], dict[str, dict[str, float]]] = {}
    for run, seed, benchmark, prompt_id, accuracy, *_ in rows:
        problems.setdefault((run, seed), {}).setdefault(benchmark, {})[prompt_id] = accuracy
    _same_problems(problems, benchmarks)
    counts = {count for row in rows for count in row[5:7]}
    if len(counts) != 1:
        raise UserError(f"scores: problems have {sorted(counts)} samples; all need equally many: run evaluate again")
    accuracy = {key: {b: np.array(list(of[b].values())) for b in benchmarks} for key, of in problems.items()}
    samples = counts.pop()
    n_samples = samples * sum(row[7] for row in rows)
    return Scores(accuracy, samples, sum(row[8] for row in rows), n_samples, sum(row[9] for row in rows))


def _same_problems(problems: dict[tuple[str, int], dict[str, dict[str, float]]], benchmarks: Sequence[str]) -> None:
    first = next(iter(problems))
    for (run, seed), of in problems.items():
        if different := sorted(set(benchmarks) ^ set(of)):
            raise UserError(
                f"scores of run {run} seed {seed}: benchmark {different[0]} is in params or scores, not in both;"
                " run evaluate again"
            )
        for benchmark in benchmarks:
            # Rows come ordered by problem, so equal keys mean equal order.
            if list(of[benchmark]) != list(problems[first][benchmark]):
                raise UserError(
                    f"scores of run {run} seed {seed}, benchmark {benchmark}: not the problems of run {first[0]} seed"
                    f" {first[1]}; run evaluate again"
                )


def read_ends(
    metrics: Path,
    methods: Iterable[str],
    seeds: Sequence[int],
    *,
    window: int,
    length_below: float,
    length_above: float,
    reward_drop: float,
) -> dict[tuple[str, int], Ends]:
    """First and last steps of each training run, and whether it collapsed (queries/collapse.sql)."""
    files = metric_files(metrics, methods, seeds)
    values = {
        "window": window,
        "length_below": length_below,
        "length_above": length_above,
        "reward_drop": reward_drop,
    }
    rows = query_rows("metrics", files, query_text("queries/collapse.sql"), values) if files else []
    return {(run, seed): Ends(*rest) for run, seed, *rest in rows}
