"""Tokens against the text of their responses, by the policy's own tokenizer.  Knows no params."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from transformers import PreTrainedTokenizerBase

from tokenspectrum.checking.found import Report
from tokenspectrum.errors import UserError
from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.policy.text import response_texts
from tokenspectrum.rollout.stop import stop_ids_in


@lru_cache(maxsize=8)
def tokenizer_of(policy: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a policy folder; None where the folder is not made or damaged."""
    try:
        return load_tokenizer(policy)
    except UserError:
        return None


def check_texts(path: Path, tokens: pa.Table, responses: pa.Table, policy: Path, report: Report) -> None:
    """Compare the table `responses` in `path` with its tokens, in their order: the text, and whether it was ended."""
    tokenizer = tokenizer_of(policy)
    if tokenizer is None:
        return
    ends = np.cumsum(responses["n_tokens"].to_numpy())[:-1]
    ids = [part.tolist() for part in np.split(tokens["token_id"].to_numpy(), ends)]
    size = len(tokenizer)  # once: the library counts all its tokens each time
    if any(not 0 <= i < size for part in ids for i in part):
        return  # said of the table tokens
    try:
        ends_it = stop_ids_in(policy, tokenizer)
    except (UserError, ValueError, AttributeError):
        return
    reasons = ["stop" if part[-1] in ends_it else "length" for part in ids]
    report.same("texts", path, "finish_reason", responses["finish_reason"].to_pylist(), reasons)
    report.same("texts", path, "text", responses["text"].to_pylist(), response_texts(tokenizer, ids))
