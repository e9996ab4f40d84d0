"""Stage `weights`: resolve one method's rule, and apply it to the base policy's tokens to see what it comes to.

Out: rule.json (all that training reads), realised.json (what the rule came to here; no dep of training) and the table
`weights`.  The probe counts as one rollout batch and one mini-batch, with its own seed and step 0.  realised.json shows
a curriculum at both its ends, s = 0 and s = S_warm; the table shows the later one.

Knows no model: of the policy it reads the number of layers.
"""

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.rules import RuleSection
from tokenspectrum.stages.entry import run
from tokenspectrum.tables.vocab import SCHEMA as VOCAB
from tokenspectrum.tables.weights import SCHEMA as WEIGHTS
from tokenspectrum.tokenlog.reader import check_file, read_file, read_manifest, read_table
from tokenspectrum.tokenlog.writer import atomic_path, write_json, write_manifest, write_step
from tokenspectrum.weighting.apply import Weights, apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.resolve import resolve
from tokenspectrum.weighting.rule import Rule
from tokenspectrum.weighting.soft import normalised, solve_tau

log = logging.getLogger(__name__)

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "rollouts": "folder of the base policy's responses",
        "tokens": "folder of its tokens",
        "attention": "folder of its attention statistics",
        "vocab": "folder of the policy's vocabulary",
        "policy": "folder of the policy: its config.json is read",
        "out": "folder to write rule.json, realised.json and table/ into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    parser.add_argument("--method", required=True, help="name of the rule under `rules` in params")
    args = parser.parse_args(argv)
    (section,) = read_sections(**{f"rules.{args.method}": RuleSection})
    rule = resolve(section.root, policy_layers(args.policy))
    probe = Probe(args.rollouts, args.tokens, args.attention)
    types_N = probe.types(args.vocab)
    batch = probe.batch(rule, types_N)
    if getattr(section.root, "tau", None) == "auto":
        rule = replace(rule, tau=solve_tau(batch.score_N(rule.score), rule.eps_mode, rule.eps))
        mean = float(normalised(batch.score_N(rule.score), rule.tau, rule.eps_mode, rule.eps).mean())
        log.info("%s: tau auto is %g, where mean(abar) is %.4f", args.method, rule.tau, mean)
    ends = [0] if rule.s_warm is None else [0, rule.s_warm]
    weights = [apply(rule, replace(batch, step=s + 1) if s else batch) for s in ends]
    with atomic_path(args.out / "rule.json") as path:
        path.write_text(rule.to_json())
    table = args.out / "table"
    columns = probe.table(args.method, weights[-1])
    write_step(table, "weights", WEIGHTS, columns, run=probe.run, seed=probe.seed, step=0)
    write_manifest(table)
    write_json(
        args.out / "realised.json",
        {
            "method": args.method,
            "responses": len(batch.lengths_R),
            "tokens": batch.n_tokens,
            "realised": [{"s": s, **realised(w, types_N)} for s, w in zip(ends, weights, strict=True)],
        },
    )


def policy_layers(policy: Path) -> int:
    """num_hidden_layers of the policy's config.json."""
    path = policy / "config.json"
    try:
        return int(json.loads(path.read_text())["num_hidden_layers"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the policy stage") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: no num_hidden_layers in it; the policy must be a decoder in HF format") from None


class Probe:
    """The base policy's rollouts with their scores, response by response and position by position."""

    def __init__(self, rollouts: Path, tokens: Path, attention: Path) -> None:
        names = ["response_id", "prompt_id", "sample", "n_prompt", "n_tokens", "advantage"]
        self.attention_root = attention
        self.responses = read_table(rollouts, "responses", step=0, columns=names).sort_by("response_id")
        self.run, self.seed = self.responses["run"][0].as_py(), self.responses["seed"][0].as_py()
        self.lengths = _numpy(self.responses, "n_tokens").astype(np.int64)
        starts = np.cumsum(self.lengths) - self.lengths
        self.response_id_N = np.repeat(_numpy(self.responses, "response_id"), self.lengths)
        self.position_N = np.arange(self.lengths.sum()) - np.repeat(starts, self.lengths)
        names = ["response_id", "position", "token_id", "predictive_entropy"]
        self.tokens = self._aligned(read_table(tokens, "tokens", step=0, columns=names), tokens)

    def batch(self, rule: Rule, types_N: np.ndarray) -> TokenBatch:
        """The tokens with their types and the one score that the rule reads."""
        scores = {}
        if rule.layer is not None:
            scores[rule.score] = torch.from_numpy(_numpy(self._layer(rule), rule.score).copy())
        elif rule.score == "loss_magnitude":
            # At ratio 1 the clipped term is -A.
            scores[rule.score] = torch.from_numpy(np.repeat(np.abs(_numpy(self.responses, "advantage")), self.lengths))
        elif rule.score is not None:
            scores[rule.score] = torch.from_numpy(_numpy(self.tokens, rule.score).copy())
        return TokenBatch(
            lengths_R=torch.from_numpy(self.lengths),
            seed=self.seed,
            step=0,
            prompt_ids=self.responses["prompt_id"].to_pylist(),
            samples_R=torch.from_numpy(_numpy(self.responses, "sample").astype(np.int64)),
            minibatch_R=torch.zeros(len(self.lengths), dtype=torch.int64),
            scores=scores,
            token_type_N=torch.from_numpy(np.unique(types_N, return_inverse=True)[1]),
        )

    def types(self, vocab: Path) -> np.ndarray:
        """Type of every token, by the policy's vocabulary."""
        table = read_file(check_file(vocab, "vocab.parquet", read_manifest(vocab)), VOCAB)
        type_of = dict(zip(_numpy(table, "token_id").tolist(), table["type"].to_pylist(), strict=True))
        ids = _numpy(self.tokens, "token_id")
        unknown = sorted(set(ids.tolist()) - type_of.keys())
        if unknown:
            raise UserError(f"{vocab}: no token {unknown[0]}, which the rollouts hold; run the policy stage again")
        return np.array([type_of[i] for i in ids.tolist()])

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

    def _layer(self, rule: Rule) -> pa.Table:
        """The attention rows of the rule's layer, checked to be of its alignment by how much each of them sees."""
        root = self.attention_root
        names = ["response_id", "position", "layer", "visible", rule.score]
        table = read_table(root, "attention", step=0, columns=names)
        layers = sorted(set(_numpy(table, "layer").tolist()))
        if rule.layer not in layers:
            have = ", ".join(map(str, layers))
            raise UserError(f"{root}: no rows of layer {rule.layer}, only of {have}; add it to tokens.layers in params")
        table = self._aligned(table.filter(pa.array(_numpy(table, "layer") == rule.layer)), root)
        seen_N = self.position_N + np.repeat(_numpy(self.responses, "n_prompt"), self.lengths)
        seen_N = seen_N + (rule.alignment == "token")
        if (_numpy(table, "visible") != seen_N).any():
            raise UserError(
                f"{root}: not of alignment {rule.alignment}, which the rule asks for; make tokens.alignment the same"
            )
        return table

    def _aligned(self, table: pa.Table, root: Path) -> pa.Table:
        """`table` sorted by response and position, after checking that it holds exactly the tokens of the responses."""
        table = table.sort_by([("response_id", "ascending"), ("position", "ascending")])
        same = table.num_rows == len(self.position_N) and all(
            (_numpy(table, name) == want).all()
            for name, want in (("response_id", self.response_id_N), ("position", self.position_N))
        )
        if not same:
            raise UserError(f"{root}: its tokens are not those of the responses; run the tokens stage again")
        return table


def realised(weights: Weights, types_N: np.ndarray) -> dict[str, Any]:
    """What a rule came to: overall, as quantiles of the weight, and by type of token."""
    weight_N, score_N = weights.weight_N.double().numpy(), weights.score_N.double().numpy()
    by_type = {}
    for name in sorted(set(types_N.tolist())):
        of_type = types_N == name
        score = score_N[of_type].mean()
        by_type[name] = {
            "tokens": int(of_type.sum()),
            "kept_fraction": float((weight_N[of_type] > 0).mean()),
            "mean_weight": float(weight_N[of_type].mean()),
            "mean_score": None if np.isnan(score) else float(score),
        }
    return {
        "kept_fraction": weights.kept_fraction,
        "score_at_cut": weights.score_at_cut,
        **weights.extra,
        "mean_weight": float(weight_N.mean()),
        "weight_quantiles": {f"{q:g}": float(np.quantile(weight_N, q)) for q in QUANTILES},
        "by_type": by_type,
    }


def _numpy(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy()


if __name__ == "__main__":
    run(main)
