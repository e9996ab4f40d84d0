"""Rollouts with their scores, read from tables.  Rules are resolved and shown on those of the base policy.

Knows the tables responses, tokens, attention and vocab.  Knows no rule by name and no model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from tokenspectrum.errors import UserError
from tokenspectrum.tables.vocab import SCHEMA as VOCAB
from tokenspectrum.tables.vocab import TYPES
from tokenspectrum.tokenlog.reader import check_file, read_file, read_manifest, read_table
from tokenspectrum.weighting.apply import Weights
from tokenspectrum.weighting.assemble import token_batch
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.rule import Rule, Score


class Probe:
    """A batch's tokens, response by response and position by position.  A Source of what rules look at.

    `step` 0 is the base policy's probe, another one a batch of a run's token log.  `rows` keeps some responses of it,
    by their place in the order of response_id.

    Raises UserError where the tables do not hold the same tokens.
    """

    def __init__(
        self,
        rollouts: Path,
        tokens: Path,
        attention: Path,
        vocab: Path,
        *,
        step: int = 0,
        rows: Sequence[int] | None = None,
    ) -> None:
        names = ["response_id", "prompt_id", "sample", "n_prompt", "n_tokens", "advantage"]
        self._roots, self._attention_root, self.step = (rollouts, tokens, attention, vocab), attention, step
        self.responses = read_table(rollouts, "responses", step=step, columns=names).sort_by("response_id")
        self._rows = rows
        if rows is not None:
            self.responses = self.responses.take(list(rows))
        self.run, self.seed = self.responses["run"][0].as_py(), self.responses["seed"][0].as_py()
        self.lengths = _numpy(self.responses, "n_tokens").astype(np.int64)
        starts = np.cumsum(self.lengths) - self.lengths
        self.response_id_N = np.repeat(_numpy(self.responses, "response_id"), self.lengths)
        self.position_N = np.arange(self.lengths.sum()) - np.repeat(starts, self.lengths)
        names = ["response_id", "position", "token_id", "predictive_entropy"]
        self.tokens = self._aligned(read_table(tokens, "tokens", step=step, columns=names), tokens)
        self.types_N = self._types(vocab)
        self._minibatch_R = torch.zeros(len(self.lengths), dtype=torch.int64)
        if step:
            of_run = self._aligned(
                read_table(tokens, "tokens", step=step, columns=["response_id", "position", "minibatch"]), tokens
            )
            self._minibatch_R = torch.from_numpy(_numpy(of_run, "minibatch")[starts].astype(np.int64))

    def part(self, rows: Sequence[int]) -> "Probe":
        """The responses `rows` alone: ranks and shares are those among their tokens."""
        rollouts, tokens, attention, vocab = self._roots
        return Probe(rollouts, tokens, attention, vocab, step=self.step, rows=rows)

    def batch(self, rule: Rule) -> TokenBatch:
        """The tokens with what the rule needs: one rollout batch and one mini-batch, step 0."""
        return token_batch(
            rule,
            self,
            lengths_R=torch.from_numpy(self.lengths),
            seed=self.seed,
            step=self.step,
            prompt_ids=self.responses["prompt_id"].to_pylist(),
            samples_R=torch.from_numpy(_numpy(self.responses, "sample").astype(np.int64)),
            minibatch_R=self._minibatch_R,
        )

    def attention(self, score: Score) -> torch.Tensor:
        """The statistic at the score's one layer, after checking that the rows are of its alignment."""
        root = self._attention_root
        names = ["response_id", "position", "layer", "visible", score.name]
        table = read_table(root, "attention", step=self.step, columns=names)
        layers = sorted(set(_numpy(table, "layer").tolist()))
        if score.layer not in layers:
            have = ", ".join(map(str, layers))
            raise UserError(
                f"{root}: no rows of layer {score.layer}, only of {have}; add it to "
                f"{'train.token_log.layers' if self.step else 'tokens.layers'} in params"
            )
        table = self._aligned(table.filter(pa.array(_numpy(table, "layer") == score.layer)), root)
        # The number of positions that a row sees tells its alignment.
        seen_N = self.position_N + np.repeat(_numpy(self.responses, "n_prompt"), self.lengths)
        seen_N = seen_N + (score.alignment == "token")
        if (_numpy(table, "visible") != seen_N).any():
            raise UserError(
                f"{root}: not of alignment {score.alignment}, which the rule asks for; make tokens.alignment the same"
            )
        return torch.from_numpy(_numpy(table, score.name).copy())

    def layers(self) -> list[int]:
        """Every layer of the table attention."""
        table = read_table(self._attention_root, "attention", step=self.step, columns=["layer"])
        return sorted(set(_numpy(table, "layer").tolist()))

    def predictive_entropy(self) -> torch.Tensor:
        """nats"""
        return torch.from_numpy(_numpy(self.tokens, "predictive_entropy").copy())

    def loss_magnitude(self) -> torch.Tensor:
        """|A|, since the clipped term is -A at ratio 1."""
        return torch.from_numpy(np.repeat(np.abs(_numpy(self.responses, "advantage")), self.lengths))

    def token_types(self) -> torch.Tensor:
        """The places of the tokens' types in TYPES, as in training."""
        return torch.tensor([TYPES.index(name) for name in self.types_N.tolist()], dtype=torch.int64)

    def table(self, method: str, weights: Weights) -> dict[str, Any]:
        """Columns of the table `weights`."""
        score_N = weights.score_N.numpy()
        return {
            "response_id": self.response_id_N,
            "position": self.position_N,
            "rule": [method] * len(score_N),
            "score": pa.array(score_N, mask=np.isnan(score_N)),
            "selected": weights.selected_N.numpy(),
            "weight": weights.weight_N.numpy(),
        }

    def _types(self, vocab: Path) -> np.ndarray:
        """Name of every token's type, from the policy's vocabulary."""
        table = read_file(check_file(vocab, "vocab.parquet", read_manifest(vocab)), VOCAB)
        type_of = dict(zip(_numpy(table, "token_id").tolist(), table["type"].to_pylist(), strict=True))
        ids = _numpy(self.tokens, "token_id")
        unknown = sorted(set(ids.tolist()) - type_of.keys())
        if unknown:
            raise UserError(f"{vocab}: no token {unknown[0]}, which the rollouts hold; run the policy stage again")
        return np.array([type_of[i] for i in ids.tolist()])

    def _aligned(self, table: pa.Table, root: Path) -> pa.Table:
        """`table` sorted by response and position, after checking that it holds exactly the tokens of the responses."""
        table = table.sort_by([("response_id", "ascending"), ("position", "ascending")])
        if self._rows is not None:
            kept_N = np.isin(_numpy(table, "response_id"), _numpy(self.responses, "response_id"))
            table = table.filter(pa.array(kept_N))
        same = table.num_rows == len(self.position_N) and all(
            (_numpy(table, name) == want).all()
            for name, want in (("response_id", self.response_id_N), ("position", self.position_N))
        )
        if not same:
            raise UserError(f"{root}: its tokens are not those of the responses; run the tokens stage again")
        return table


def _numpy(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy()
