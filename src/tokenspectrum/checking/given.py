"""A probe that was sampled elsewhere, against the file that it came from: its tokens, and the rewards that count.

Knows the tables given, responses and sampled.  Knows no policy.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tokenspectrum.checking.found import Report
from tokenspectrum.errors import UserError
from tokenspectrum.params.rollouts import GivenParams
from tokenspectrum.reward.rewarded import Rewarded
from tokenspectrum.rollout.given import Rows, given_response, read_given
from tokenspectrum.rollout.given_rewards import earned
from tokenspectrum.rollout.types import Prompt


@dataclass(frozen=True)
class Given:
    """The file's responses, and what params say of them."""

    params: GivenParams
    rows: Rows

    def row(self, response: Mapping[str, Any]) -> Mapping[str, Any]:
        """The file's row of a response.  UserError where there is none."""
        of_prompt = {row["sample"]: row for row in self.rows.get(response["prompt_id"], ())}
        if response["sample"] not in of_prompt:
            raise UserError(f"prompt {response['prompt_id']}, sample {response['sample']} is not in {self.params.path}")
        return of_prompt[response["sample"]]

    def earned(self, response: Mapping[str, Any]) -> Rewarded:
        """What the file says that a response earned.  UserError where it says nothing."""
        return earned(self.row(response), response["text"])


def given_of(params: GivenParams | None, report: Report) -> Given | None:
    """The file that params name, if any.  One that cannot be read is found, and has no rows."""
    if params is None:
        return None
    try:
        return Given(params, read_given(params))
    except UserError as e:
        report.wrong(Path(params.path), None, "file", str(e).rpartition(f"{params.path}: ")[2])
        return Given(params, {})


def check_given(
    path: Path, responses: pa.Table, drawn: Path, sampled: pa.Table, given: Given, limit: int, report: Report
) -> None:
    """The tables `responses` in `path` and `sampled` in `drawn`, in order; a response is cut off at `limit` tokens."""
    if not given.rows:
        return
    rows = responses.to_pylist()
    try:
        wanted = [given_response(given.row(row), Prompt(row["prompt_id"], ()), limit) for row in rows]
    except UserError as e:
        report.wrong(path, None, "sample", str(e))
        return
    report.same("given", path, "n_tokens", [row["n_tokens"] for row in rows], [len(one.token_ids) for one in wanted])
    reasons = [row["finish_reason"] for row in rows]
    report.same("given", path, "finish_reason", reasons, [one.finish_reason for one in wanted])
    ids = list(itertools.chain.from_iterable(one.token_ids for one in wanted))
    report.same("given", drawn, "token_id", sampled["token_id"].to_numpy(), ids)
    logprobs = list(itertools.chain.from_iterable(one.logprobs for one in wanted))
    report.same("given", drawn, "rollout_logprob", sampled["rollout_logprob"].to_numpy(), logprobs)
