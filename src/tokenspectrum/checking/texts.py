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


@lru_cache(maxsize=8)
def tokenizer_of(policy: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a policy folder; None where the folder is not made or damaged."""
    try:
        return load_tokenizer(policy)
    except UserError:
        return None


def check_texts(path: Path, tokens: pa.Table, responses: pa.Table, policy: Path, report: Report) -> None:
    """Compare the column `text` of the table `responses` in `path` with what its tokens, in their order, decode to."""
    tokenizer = tokenizer_of(policy)
    if tokenizer is None:
        return
    ends = np.cumsum(responses["n_tokens"].to_numpy())[:-1]
    ids = [part.tolist() for part in np.split(tokens["token_id"].to_numpy(), ends)]
    if any(not 0 <= i < len(tokenizer) for part in ids for i in part):
        return  # said of the table tokens
    report.same("texts", path, "text", responses["text"].to_pylist(), response_texts(tokenizer, ids))
