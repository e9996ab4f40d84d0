"""The base policy's rollouts, read back from their tables.  Knows no model and no rule."""

from pathlib import Path
from typing import Any

import numpy as np

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.columns import sampled_columns
from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Response
from tokenspectrum.tokenlog.reader import read_table


class Probed:
    """Responses for a scorer, and columns that the tables take as they are."""

    def __init__(self, root: Path) -> None:
        table = read_table(root, "responses", step=0).sort_by("response_id")
        drawn = read_table(root, "sampled", step=0).sort_by([("response_id", "ascending"), ("position", "ascending")])
        prompts = read_table(root, "prompt_tokens", step=0)
        prompt_ids = dict(zip(prompts["prompt_id"].to_pylist(), prompts["token_ids"].to_pylist(), strict=True))
        self.run, self.seed = table["run"][0].as_py(), table["seed"][0].as_py()
        self.lengths = table["n_tokens"].to_numpy()
        self.advantage_R = table["advantage"].to_numpy()
        self.correct_R = table["correct"].to_numpy()
        if not np.array_equal(
            drawn["response_id"].to_numpy(), np.repeat(table["response_id"].to_numpy(), self.lengths)
        ):
            raise UserError(f"{root}: its sampled tokens are not those of its responses; run the rollouts stage again")
        ends = np.cumsum(self.lengths)
        ids, logprobs = drawn["token_id"].to_numpy(), drawn["rollout_logprob"].to_numpy()
        self.responses = [
            Response(
                prompt_id=row["prompt_id"],
                sample=row["sample"],
                prompt_token_ids=tuple(prompt_ids[row["prompt_id"]]),
                token_ids=tuple(ids[end - row["n_tokens"] : end].tolist()),
                logprobs=tuple(logprobs[end - row["n_tokens"] : end].tolist()),
                finish_reason=row["finish_reason"],
            )
            for row, end in zip(table.to_pylist(), ends, strict=True)
        ]

    def token_columns(self, measured: Statistics) -> dict[str, Any]:
        """Columns of the table `tokens`."""
        return {
            **sampled_columns(self.responses),
            "logprob": measured.logprob_N.numpy(),
            "predictive_entropy": measured.predictive_entropy_N.numpy(),
            "advantage": np.repeat(self.advantage_R, self.lengths),
        }
