"""Evaluation samples as responses: their rows for the list, and their tokens with what the sampler said of them.

They are shown as a run of their own, `full evaluated`, so that every filter works on them, and a sample can be compared
with the responses that its run was trained on.  Knows the tables `evaluated` and `scores`.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenspectrum.errors import UserError
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.view.marks import Mark, mark

TABLES = frozenset({"scores", "evaluated"})
COLUMN = "tokens.rollout_logprob"  # the one number that a token of them has


def shown_run(run: str) -> str:
    """What the samples of a run are listed under."""
    return f"{run} evaluated"


def response_rows(texts: Sequence[Path], scores: Sequence[Path]) -> pa.Table:
    """The samples of a step with the columns of `responses`; no reward and no advantage.  Row i has response_id i."""
    said = pa.concat_tables([read_file(path, columns=_TEXTS) for path in texts])
    judged = pa.concat_tables([read_file(path, columns=_SCORES) for path in scores])
    keys = ["prompt_id", "sample"]
    if not said.select(keys).equals(judged.select(keys)):
        raise UserError(f"{texts[0].parent}: not the samples of {scores[0].parent}; run the evaluate stage again")
    nothing = pa.nulls(said.num_rows, pa.float32())
    columns = {"response_id": pa.array(np.arange(said.num_rows, dtype=np.int32))}
    columns |= {name: said[name] for name in _TEXTS} | {name: judged[name] for name in _SCORES}
    return pa.table(columns | {"reward": nothing, "reward_raw": nothing, "advantage": nothing})


def tokens(texts: Sequence[Path]) -> pa.Table:
    """response_id, position, token_id and rollout_logprob of every token of a step."""
    return pa.concat_tables([_tokens(path, mark(path), first) for path, first in _firsts(texts)])


def tokens_of(texts: Sequence[Path], response_id: int) -> pa.Table:
    """The same of one sample; its file is kept for its neighbours."""
    path, first = max((entry for entry in _firsts(texts) if entry[1] <= response_id), key=lambda entry: entry[1])
    table = _kept(path, mark(path), first)
    return table.filter(pc.call_function("equal", [table["response_id"], response_id]))


_TEXTS = ["prompt_id", "sample", "text", "n_prompt", "finish_reason"]
_SCORES = ["prompt_id", "sample", "answer", "correct", "n_tokens"]


def _firsts(texts: Sequence[Path]) -> list[tuple[Path, int]]:
    """Each file with the response_id of its first row."""
    rows = [read_file(path, columns=["sample"]).num_rows for path in texts]
    return list(zip(texts, np.cumsum([0, *rows[:-1]]).tolist(), strict=True))


def _tokens(path: Path, stamp: Mark, first: int) -> pa.Table:
    table = read_file(path, columns=["token_ids", "rollout_logprobs"]).combine_chunks()
    length_R = pc.call_function("list_value_length", [table["token_ids"]]).to_numpy().astype(np.int64)
    start_N = np.repeat(np.cumsum(length_R) - length_R, length_R)
    return pa.table(
        {
            "response_id": np.repeat(np.arange(len(length_R), dtype=np.int32) + first, length_R).astype(np.int32),
            "position": (np.arange(len(start_N)) - start_N).astype(np.int32),
            "token_id": pc.call_function("list_flatten", [table["token_ids"]]),
            "rollout_logprob": pc.call_function("list_flatten", [table["rollout_logprobs"]]),
        }
    )


_kept = lru_cache(maxsize=4)(_tokens)
