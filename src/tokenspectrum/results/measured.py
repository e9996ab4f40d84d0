"""What was measured: accuracy by problem, and which training runs collapsed.

Reads the scores and metrics of the given methods and replicates, and checks that all answered the same problems.
Knows no row, test or file that is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenspectrum.errors import UserError
from tokenspectrum.results.options import CollapseParams
from tokenspectrum.results.sql import query_text
from tokenspectrum.results.tables import Tables

BASE = "base"


@dataclass(frozen=True)
class Scores:
    """Accuracy of every run and seed.

    accuracy[run, seed][benchmark] is accuracy_P by problem.  All runs have the same problems in the same order.  There
    are `samples` a problem.  Of all n_samples, n_right are right, and on `disagreements` the two verifiers differ.
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
    tables: Tables, benchmarks: Sequence[str], checkpoints: int, asked: str = "analysis.table1.last_checkpoints"
) -> Scores:
    """Scores of all methods and of the base policies under all seeds; trained runs over their last `checkpoints`.

    `asked` is what asks for so many.  Raises UserError where a folder is incomplete, or where runs were not asked the
    same problems equally often.
    """
    text = query_text("queries/accuracy.sql")
    of = [source for source in ("evaluate", "evaluate_more") if source in tables.roots]
    rows = tables.ask(text, of=of, checkpoints=checkpoints) if tables.wanted.methods else []
    check_checkpoints(rows, tables, checkpoints, asked)
    rows += tables.ask(text, of=["evaluate_base"], checkpoints=1)
    problems: dict[tuple[str, int], dict[str, dict[str, float]]] = {}
    for row in rows:
        of_run = problems.setdefault((row["run"], row["seed"]), {})
        of_run.setdefault(row["benchmark"], {})[row["prompt_id"]] = row["accuracy"]
    _same_problems(problems, benchmarks)
    counts = {count for row in rows for count in (row["fewest"], row["most"])}
    if len(counts) != 1:
        raise UserError(f"scores: problems have {sorted(counts)} samples; all need equally many: run evaluate again")
    accuracy = {key: {b: np.array(list(of[b].values())) for b in benchmarks} for key, of in problems.items()}
    samples = counts.pop()
    n_checkpoints, n_right, disagreements = (
        sum(row[name] for row in rows) for name in ("checkpoints", "n_right", "disagreements")
    )
    return Scores(accuracy, samples, n_right, samples * n_checkpoints, disagreements)


def check_checkpoints(
    rows: Sequence[Mapping[str, Any]], tables: Tables, wanted: int, asked: str = "analysis.table1.last_checkpoints"
) -> None:
    """UserError where a row is of fewer `checkpoints` of its training run than `asked` asks for."""
    for row in rows:
        if row["checkpoints"] != wanted:
            raise UserError(
                f"{tables.roots['evaluate'] / '{run}-s{seed}'.format(**row)}: {row['checkpoints']} evaluated"
                f" checkpoints, {asked} asks for {wanted}; add steps to evaluate, or lower it"
            )


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


def read_ends(tables: Tables, rule: CollapseParams) -> dict[tuple[str, int], Ends]:
    """First and last steps of each training run, and whether it collapsed (queries/collapse.sql)."""
    if not tables.wanted.methods:
        return {}
    rows = tables.ask(query_text("queries/collapse.sql"), of=["metrics"], **rule.model_dump())
    return {(row.pop("run"), row.pop("seed")): Ends(**row) for row in rows}
