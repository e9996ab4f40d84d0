"""Tokens and attention rows against the responses that they are of, and against their own bounds."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tokenspectrum.checking.found import Report
from tokenspectrum.row_statistics import STATISTICS
from tokenspectrum.training.dapo import Clip, clipped_loss

SLACK = 1e-5  # of a float32 sum that should be 0 or ln n


def _column(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy()


def check_tokens(
    path: Path, tokens: pa.Table, responses: pa.Table, vocabulary: int, report: Report, given: bool = False
) -> bool:
    """One step's table `tokens`, sorted by response and position; whether it holds just the responses' tokens.

    Where they were sampled elsewhere (`given`), the sampler's log-probabilities may be unknown: NaN.
    """
    lengths = _column(responses, "n_tokens").astype(int)
    ids = np.repeat(_column(responses, "response_id"), lengths)
    positions = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    if tokens.num_rows != len(ids):
        report.wrong(path, None, "n_tokens", f"{tokens.num_rows} tokens, the responses have {len(ids)}")
        return False
    before = len(report.findings)
    report.same("tokens", path, "response_id", _column(tokens, "response_id"), ids)
    report.same("tokens", path, "position", _column(tokens, "position"), positions)
    fits = len(report.findings) == before
    report.same(
        "tokens", path, "advantage", _column(tokens, "advantage"), np.repeat(_column(responses, "advantage"), lengths)
    )
    report.within("tokens", path, "token_id", _column(tokens, "token_id"), 0, vocabulary - 1)
    for name in ("logprob", "rollout_logprob"):
        value = _column(tokens, name)
        if given and name == "rollout_logprob":
            value = np.where(np.isnan(value), 0.0, value)
        report.within("tokens", path, name, value, -math.inf, SLACK)
    entropy = _column(tokens, "predictive_entropy")
    report.within("tokens", path, "predictive_entropy", entropy, -SLACK, math.log(vocabulary) + SLACK)
    return fits


def check_losses(path: Path, tokens: pa.Table, clip: Clip, report: Report) -> None:
    """Weights are not negative, and each logged loss follows from its ratio and advantage."""
    report.within("tokens", path, "weight", _column(tokens, "weight"), 0, math.inf)
    if tokens["loss"].null_count or tokens["ratio"].null_count:
        return
    ratio = torch.from_numpy(_column(tokens, "ratio").astype(np.float64))
    advantage = torch.from_numpy(_column(tokens, "advantage").astype(np.float64))
    wanted = clipped_loss(ratio.log(), torch.zeros_like(ratio), advantage, clip).numpy()
    report.same("losses", path, "loss", _column(tokens, "loss"), wanted, 1e-4)


def check_attention(path: Path, table: pa.Table, tokens: pa.Table, responses: pa.Table, report: Report) -> None:
    """One step's table `attention`, layer after layer: the rows of every token, and entropies between 0 and ln n."""
    layers = sorted(set(_column(table, "layer").tolist()))
    if table.num_rows != tokens.num_rows * len(layers):
        report.wrong(path, None, "layer", f"{table.num_rows} rows of {len(layers)} layers for {tokens.num_rows} tokens")
        return
    for name in ("response_id", "position"):
        report.same("attention", path, name, _column(table, name), np.tile(_column(tokens, name), len(layers)))
    prompts = dict(
        zip(_column(responses, "response_id").tolist(), _column(responses, "n_prompt").tolist(), strict=True)
    )
    seen = np.array([prompts.get(i, 0) for i in _column(table, "response_id").tolist()]) + _column(table, "position")
    visible = _column(table, "visible")
    # A row sees its own token under alignment `token`, and not under `decision`: the same all through.
    report.same("attention", path, "visible", visible, seen + (np.median(visible - seen) == 1))
    most = np.log(np.maximum(visible, 1))
    raw = _column(table, "entropy_raw")
    for name in (statistic.name for statistic in STATISTICS if statistic.unit == "nats"):
        found = _column(table, name).astype(float)
        # Not every row has the optional ones: null.
        value = np.where(np.isnan(found), 0.0, found) if table[name].null_count else found
        report.within("attention", path, name, value, -SLACK, most + 1e-4)
    report.within("attention", path, "entropy_norm", _column(table, "entropy_norm"), -SLACK, 1 + 1e-4)
    report.within("attention", path, "local_mass", _column(table, "local_mass"), -SLACK, 1 + SLACK)
    report.within("attention", path, "distance", _column(table, "distance"), -SLACK, np.maximum(visible, 1) + SLACK)
    least = np.zeros(table.num_rows)
    for name in ("support_50", "support_80", "support_90", "support_95"):
        support = _column(table, name).astype(float)
        support = np.where(np.isnan(support), least, support)  # not every row has these
        report.within("attention", path, name, support, least, visible)
        least = support
    norm = np.divide(raw, most, out=np.zeros_like(raw), where=visible > 1)
    report.same("attention", path, "entropy_norm", _column(table, "entropy_norm"), norm, 1e-4)
