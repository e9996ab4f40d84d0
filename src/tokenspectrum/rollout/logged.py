"""A batch of a training run, read back from its token log as responses.  Knows no model and no rule.

The log holds no prompt tokens: they are the prompts' chats, encoded as training did.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.types import Response
from tokenspectrum.tokenlog.reader import read_table


class Logged:
    """Responses of one step in order, with their lengths, advantages and verdicts.  A gradients.update.Batch.

    `prompts` has the token ids of each prompt by its id.  UserError where they are not those that the run trained on.
    """

    def __init__(self, root: Path, step: int, prompts: Mapping[str, tuple[int, ...]]) -> None:
        table = read_table(root, "responses", step=step).sort_by("response_id")
        order = [("response_id", "ascending"), ("position", "ascending")]
        tokens = read_table(root, "tokens", step=step).sort_by(order)
        self.run, self.seed = table["run"][0].as_py(), table["seed"][0].as_py()
        self.lengths = table["n_tokens"].to_numpy().astype(np.int64)
        self.advantage_R, self.correct_R = table["advantage"].to_numpy(), table["correct"].to_numpy()
        if not np.array_equal(tokens["response_id"].to_numpy(), np.repeat(table["response_id"], self.lengths)):
            raise UserError(
                f"{root}: step {step}: its tokens are not those of its responses; run the train stage again"
            )
        ids, logprobs = tokens["token_id"].to_numpy(), tokens["rollout_logprob"].to_numpy()
        self.responses = []
        for row, end in zip(table.to_pylist(), np.cumsum(self.lengths).tolist(), strict=True):
            prompt = prompts.get(row["prompt_id"], ())
            if len(prompt) != row["n_prompt"]:
                raise UserError(
                    f"{root}: step {step}: prompt {row['prompt_id']} has {row['n_prompt']} tokens there and "
                    f"{len(prompt)} now; run the train stage again"
                )
            begin = end - row["n_tokens"]
            self.responses.append(
                Response(
                    prompt_id=row["prompt_id"],
                    sample=row["sample"],
                    prompt_token_ids=prompt,
                    token_ids=tuple(ids[begin:end].tolist()),
                    logprobs=tuple(logprobs[begin:end].tolist()),
                    finish_reason=row["finish_reason"],
                )
            )
