"""Responses against the gold answers and against each other: rewards by the verifier, advantages by their group.

Knows the tables responses, scores and prompts.  Knows no tokens.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tokenspectrum.checking.found import Report
from tokenspectrum.checking.given import Given
from tokenspectrum.errors import UserError
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.reward.boxed import share
from tokenspectrum.reward.rewarded import reward_response
from tokenspectrum.rollout.advantage import group_advantages
from tokenspectrum.rollout.questions import Question

# Of a float32 column against float64.
FLOAT32 = 2e-6


def check_responses(
    path: Path,
    table: pa.Table,
    questions: Mapping[str, Question],
    params: RewardParams,
    limit: int,
    report: Report,
    given: Given | None = None,
) -> None:
    """One step's table `responses`, in the order of its rows; `limit` is the longest response allowed, tokens.

    `given` is the file that the responses came from, if they did.
    """
    rows = table.to_pylist()
    report.same("responses", path, "response_id", table["response_id"].to_pylist(), range(len(rows)))
    report.within("responses", path, "n_tokens", table["n_tokens"].to_pylist(), 1, limit)
    wanted = []
    for i, row in enumerate(rows):
        question = questions.get(row["prompt_id"])
        if question is None:
            report.wrong(path, i, "prompt_id", f"{row['prompt_id']!r} is not among the prompts")
            return
        if given is not None and given.params.rewards == "theirs":
            if not given.rows:  # the file is not there, which is said of it
                break
            try:
                wanted.append(given.earned(row))
            except UserError as e:
                report.wrong(path, i, "reward", str(e))
                return
            continue
        gold, source = question.ground_truth, question.data_source
        wanted.append(reward_response(row["text"], row["n_tokens"], gold, source, params, limit))
    for name in ("answer", "correct") if wanted else ():
        report.same("rewards", path, name, [row[name] for row in rows], [getattr(w, name) for w in wanted])
    for name in ("reward", "reward_raw") if wanted else ():
        logged = [row[name] for row in rows]
        report.same("rewards", path, name, logged, [getattr(w, name) for w in wanted], FLOAT32)
    try:
        if given is not None and given.params.n == 1:  # nothing to be compared with
            advantages = [0.0] * len(rows)
        else:
            advantages = group_advantages(torch.tensor([row["reward"] for row in rows]), _groups(rows)).tolist()
    except UserError as e:
        report.wrong(path, None, "advantage", str(e))
        return
    # The logged rewards are rounded; the spread of a group that they are divided by may be small.
    report.same("advantages", path, "advantage", [row["advantage"] for row in rows], advantages, 1e-4)


def _groups(rows: list[dict]) -> torch.Tensor:
    """int64 R: the group of each response.  Rows are prompt-major, and samples count up within a group."""
    before = itertools.pairwise(rows)
    starts = [a["prompt_id"] != b["prompt_id"] or b["sample"] <= a["sample"] for a, b in before]
    return torch.tensor([0, *np.cumsum(starts).tolist()], dtype=torch.int64)


def check_scores(
    path: Path, table: pa.Table, questions: Mapping[str, Question], params: RewardParams, samples: int, report: Report
) -> None:
    """The table `scores` of one benchmark: every problem with `samples` samples, each judged by its answer."""
    found: dict[str, list[int]] = {prompt_id: [] for prompt_id in questions}
    logged, wanted = [], []
    for i, row in enumerate(table.to_pylist()):
        question = questions.get(row["prompt_id"])
        if question is None:
            report.wrong(path, i, "prompt_id", f"{row['prompt_id']!r} is not among the benchmark's problems")
            return
        found[row["prompt_id"]].append(row["sample"])
        integer = question.data_source in params.integer_sources
        answer = row["answer"]
        wanted.append(answer is not None and share(answer, question.ground_truth, integer) == 1)
        logged.append(row["correct"])
    report.same("scores", path, "correct", logged, wanted)
    for prompt_id, indices in found.items():
        if sorted(indices) != list(range(samples)):
            report.wrong(path, None, "sample", f"problem {prompt_id} has {sorted(indices)}, not 0 to {samples - 1}")
