"""What a step leaves in the tables: responses, tokens, attention, attention_rows and metrics.

Knows the columns of the tables and a step's record.  Knows no model and no optimiser: nothing here can change a run.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from tokenspectrum.tables import attention, attention_rows, metrics, responses, runs, tokens
from tokenspectrum.tokenlog.writer import write_step
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.step import Rollouts, RowSample, StepRecord
from tokenspectrum.weighting.apply import effective_sample_size

METRICS, TOKENLOG = "metrics", "tokenlog"
ROW_STATS = ("entropy_topk", "entropy_fixed", "support_50", "support_80", "support_90", "support_95")


def write_run(root: Path, job: TrainJob) -> Path:
    """The run's one row in the table `runs`."""
    columns = {
        "method": [job.method],
        "rule": [job.rule.to_json()],
        "layer": [job.rule.layer],
        "tau": [job.rule.tau],
        "preset": [job.preset],
        "trainer": ["local"],
        "policy": [job.policy_name],
    }
    return write_step(root / TOKENLOG, "runs", runs.SCHEMA, columns, run=job.run, seed=job.seed, step=None)


def write_tables(
    root: Path, job: TrainJob, layers: Sequence[int], record: StepRecord, summary: Mapping[str, Any]
) -> list[Path]:
    """Write every table of one step; the paths written.  `layers` are those to log, `summary` is from `summarise`."""
    log = job.train.token_log

    def write(out: str, module: Any, columns: Mapping[str, Any]) -> Path:
        name = module.__name__.rpartition(".")[2]
        return write_step(root / out, name, module.SCHEMA, columns, run=job.run, seed=job.seed, step=record.step)

    paths = [
        write(METRICS, metrics, {name: [value] for name, value in summary.items()}),
        write(TOKENLOG, responses, response_columns(record.rollouts)),
    ]
    if log.tokens == "every_step":
        paths.append(write(TOKENLOG, tokens, token_columns(record)))
    if log.attention == "streaming" and layers:
        paths.append(write(TOKENLOG, attention, attention_columns(record, layers)))
    if record.row_sample is not None:
        paths.append(write(TOKENLOG, attention_rows, row_columns(record.row_sample, layers)))
    return paths


def summarise(record: StepRecord, layers: Sequence[int], clip: tuple[float, float]) -> dict[str, Any]:
    """The columns of the table `metrics`; `clip` is the ratio's range, `layers` those that are logged."""
    rollouts, scores, updates = record.rollouts, record.scores, record.updates
    n = len(rollouts.responses)
    outside_N = (record.ratio_N < clip[0]) | (record.ratio_N > clip[1])
    return {
        "loss": sum(update.loss for update in updates) / len(updates),
        "s_m": [update.s_m for update in updates],
        "reward": sum(s.reward for s in rollouts.scored) / n,
        "reward_raw": sum(s.reward_raw for s in rollouts.scored) / n,
        "accuracy": sum(s.correct for s in rollouts.scored) / n,
        "boxed": sum(s.answer is not None for s in rollouts.scored) / n,
        "length": float(rollouts.lengths_R.double().mean()),
        "truncated": sum(response.finish_reason == "length" for response in rollouts.responses) / n,
        "predictive_entropy": float(scores.predictive_entropy_N.double().mean()),
        "attention_entropy": float(scores.attention[layers[0]].entropy_norm_N.double().mean()) if layers else None,
        "grad_norm": [update.grad_norm for update in updates],
        "clip_fraction": float(outside_N.double().mean()),
        "kept_fraction": float((record.weight_N > 0).double().mean()),
        "score_at_cut": record.score_at_cut,
        "effective_sample_size": effective_sample_size(record.weight_N),
        "skipped": sum(update.grad_norm is None for update in updates),
        "lr": record.lr,
    }


def response_columns(rollouts: Rollouts) -> dict[str, Any]:
    """Columns of the table `responses`."""
    given, scored = rollouts.responses, rollouts.scored
    return {
        "response_id": np.arange(len(given), dtype=np.int32),
        "prompt_id": [response.prompt_id for response in given],
        "sample": [response.sample for response in given],
        "text": list(rollouts.texts),
        "n_prompt": [len(response.prompt_token_ids) for response in given],
        "n_tokens": rollouts.lengths_R.numpy(),
        "finish_reason": [response.finish_reason for response in given],
        "answer": [s.answer for s in scored],
        "reward": [s.reward for s in scored],
        "reward_raw": [s.reward_raw for s in scored],
        "correct": [s.correct for s in scored],
        "advantage": rollouts.advantage_R.numpy(),
    }


def token_columns(record: StepRecord) -> dict[str, Any]:
    """Columns of the table `tokens`."""
    rollouts, lengths_R = record.rollouts, record.rollouts.lengths_R
    return {
        **token_keys(lengths_R),
        "token_id": _flat((response.token_ids for response in rollouts.responses), np.int32),
        "logprob": record.scores.logprob_N.numpy(),
        "rollout_logprob": _flat((response.logprobs for response in rollouts.responses), np.float32),
        "predictive_entropy": record.scores.predictive_entropy_N.numpy(),
        "advantage": rollouts.advantage_R.repeat_interleave(lengths_R).numpy(),
        "weight": record.weight_N.numpy(),
        "minibatch": rollouts.minibatch_R.repeat_interleave(lengths_R).numpy(),
        "ratio": record.ratio_N.numpy(),
        "loss": record.loss_N.numpy(),
    }


def attention_columns(record: StepRecord, layers: Sequence[int]) -> dict[str, Any]:
    """Columns of the table `attention`, layer after layer; the optional ones are null outside the sampled responses."""
    keys, n_tokens = token_keys(record.rollouts.lengths_R), len(record.weight_N)
    columns = {name: np.tile(key_N, len(layers)) for name, key_N in keys.items()}
    columns["layer"] = np.repeat(np.array(layers, dtype=np.int32), n_tokens)
    for name in ("visible", "entropy_raw", "entropy_norm", "distance", "local_mass"):
        columns[name] = np.concatenate([getattr(record.scores.attention[a], f"{name}_N").numpy() for a in layers])
    if (sample := record.row_sample) is not None:
        in_sample_N = np.isin(keys["response_id"], sample.response_ids)
        for name in ROW_STATS:
            of_layer = []
            for layer in layers:
                sampled = getattr(sample.scores.attention[layer], f"{name}_N").numpy()
                value_N = np.zeros(n_tokens, sampled.dtype)
                value_N[in_sample_N] = sampled
                of_layer.append(pa.array(value_N, mask=~in_sample_N))
            columns[name] = pa.chunked_array(of_layer)
    return columns


def row_columns(sample: RowSample, layers: Sequence[int]) -> dict[str, Any]:
    """Columns of the table `attention_rows`, layer after layer."""
    response_id = [sample.response_ids[r] for r, _ in sample.tokens]
    position = [t for _, t in sample.tokens]
    rows = [row.numpy().astype(np.float16) for layer in layers for row in sample.scores.rows[layer]]
    return {
        "response_id": response_id * len(layers),
        "position": position * len(layers),
        "layer": np.repeat(np.array(layers, dtype=np.int32), len(sample.tokens)),
        "row": rows,
    }


def token_keys(lengths_R: torch.Tensor) -> dict[str, np.ndarray]:
    """response_id and position of every token, responses in order."""
    lengths = lengths_R.numpy()
    response_id_N = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    start_N = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return {"response_id": response_id_N, "position": (np.arange(len(start_N)) - start_N).astype(np.int32)}


def _flat(parts: Any, dtype: type) -> np.ndarray:
    return np.fromiter(itertools.chain.from_iterable(parts), dtype)
