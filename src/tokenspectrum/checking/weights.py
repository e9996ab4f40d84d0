"""Weights recomputed from the logged scores under the rule, beside the logged weights.

Knows tables and the one call that every trainer makes; knows no rule by name.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tokenspectrum.checking.found import Report
from tokenspectrum.errors import UserError
from tokenspectrum.tables.vocab import TYPES
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.tokenlog.writer import step_path
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.assemble import token_batch
from tokenspectrum.weighting.probe import Probe
from tokenspectrum.weighting.rule import Memory, Rule, Score

TOLERANCE = 1e-6  # of a float32 weight


def numbered_types(vocab: pa.Table) -> np.ndarray:
    """int64 V: the number of the type of each token id."""
    return np.array([TYPES.index(name) for name in vocab["type"].to_pylist()])


@dataclass(frozen=True)
class _Logged:
    """One step's logged tokens, those where `of_N`, as the source of what a rule looks at."""

    rule: Rule
    tokens: pa.Table
    rows: pa.Table | None
    types_V: np.ndarray
    of_N: np.ndarray

    def _tensor(self, values_N: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values_N[self.of_N].copy())

    def has(self, score: Score | None) -> bool:
        """Whether the score was logged of every token, at each of its layers."""
        parts = () if score is None else score.by_layer
        return all(
            (rows := self._at(one)) is not None
            and rows.num_rows == self.tokens.num_rows
            and not rows[one.name].null_count
            for one in parts
        )

    def _at(self, score: Score) -> pa.Table | None:
        return None if self.rows is None else self.rows.filter(pa.array(self.rows["layer"].to_numpy() == score.layer))

    def attention(self, score: Score) -> torch.Tensor:
        rows = self._at(score)
        assert rows is not None
        return self._tensor(rows[score.name].to_numpy())

    def predictive_entropy(self) -> torch.Tensor:
        return self._tensor(self.tokens["predictive_entropy"].to_numpy())

    def loss_magnitude(self) -> torch.Tensor:
        """|A| where no update has moved the policy yet, else the loss as it was logged at the update."""
        size_N = np.abs(self.tokens["advantage"].to_numpy())
        if self.rule.needs_current:
            size_N = np.where(self.tokens["minibatch"].to_numpy() == 0, size_N, np.abs(self.tokens["loss"].to_numpy()))
        return self._tensor(size_N)

    def token_types(self) -> torch.Tensor:
        return self._tensor(self.types_V[self.tokens["token_id"].to_numpy()])


def check_weights(
    path: Path,
    rule: Rule,
    tokens: pa.Table,
    responses: pa.Table,
    attention: pa.Table | None,
    types_V: np.ndarray,
    *,
    seed: int,
    step: int,
    memory: Memory | None,
    report: Report,
) -> None:
    """One step's logged weights.  Where the rule looks at the policy being updated, only what its scores are logged of.

    Tokens, and attention of each layer, are in the order of responses and positions.
    """
    lengths_R = responses["n_tokens"].to_numpy().astype(np.int64)
    minibatch_N = tokens["minibatch"].to_numpy()
    minibatch_R = minibatch_N[np.cumsum(lengths_R) - lengths_R]
    report.same("tokens", path, "minibatch", minibatch_N, np.repeat(minibatch_R, lengths_R))
    whole = np.ones(len(lengths_R), bool)
    parts = [minibatch_R == m for m in sorted(set(minibatch_R.tolist()))] if rule.needs_current else [whole]
    if rule.needs_current and rule.looks_at is not None and rule.looks_at.name != "loss_magnitude":
        parts = parts[:1]
    wanted_N = tokens["weight"].to_numpy().copy()
    compared = 0
    prompt_ids, samples = responses["prompt_id"].to_pylist(), responses["sample"].to_numpy().astype(np.int64)
    for of_R in parts:
        of_N = np.repeat(of_R, lengths_R)
        source = _Logged(rule, tokens, attention, types_V, of_N)
        if not source.has(rule.looks_at):
            continue
        batch = token_batch(
            rule,
            source,
            lengths_R=torch.from_numpy(lengths_R[of_R]),
            seed=seed,
            step=step,
            prompt_ids=[prompt_ids[r] for r in np.flatnonzero(of_R)],
            samples_R=torch.from_numpy(samples[of_R]),
            minibatch_R=torch.from_numpy(minibatch_R[of_R].astype(np.int64)),
            memory=memory,
        )
        try:
            wanted_N[of_N] = apply(rule, batch).weight_N.numpy()
        except UserError as e:
            report.wrong(path, None, "weight", str(e))
            return
        compared += int(of_N.sum())
    report.same("weights", path, "weight", tokens["weight"].to_numpy(), wanted_N, TOLERANCE)
    report.compared["weights"] += compared - tokens.num_rows


def check_probe(root: Path, method: str, rule: Rule, probe: Probe, report: Report) -> None:
    """The table `weights` of one method in `root`, against its rule on the base policy's tokens."""
    path = step_path(root, "weights", probe.run, probe.seed, 0)
    try:
        logged = read_file(path)
        batch, s = probe.batch(rule), rule.shown_at[-1]
        wanted = pa.table(probe.table(method, apply(rule, replace(batch, step=s + 1) if s else batch)))
    except UserError as e:
        report.wrong(path, None, "weight", str(e))
        return
    if logged.num_rows != wanted.num_rows:
        report.wrong(path, None, "rows", f"{logged.num_rows}, the base policy has {wanted.num_rows} tokens")
        return
    for name in ("response_id", "position", "rule", "selected"):
        report.same("weights", path, name, logged[name].to_pylist(), wanted[name].to_pylist())
    for name in ("score", "weight"):
        values = [np.array(t[name].to_pylist(), dtype=float) for t in (logged, wanted)]
        report.same("weights", path, name, *values, TOLERANCE)
