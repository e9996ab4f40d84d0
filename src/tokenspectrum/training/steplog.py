"""Write a step's tables: responses, tokens, attention, attention_rows and metrics.

Knows the columns of the tables and a step's record.  Knows no model and no optimiser, so nothing here can change a run.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tokenspectrum.rollout.columns import attention_columns, row_columns, sampled_columns
from tokenspectrum.rollout.judged import response_columns
from tokenspectrum.row_statistics import STATISTICS
from tokenspectrum.tables import attention, attention_rows, metrics, responses, runs, tokens
from tokenspectrum.tokenlog.writer import write_step
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.mismatch import sampling_mismatch
from tokenspectrum.training.record import RowSample, StepRecord
from tokenspectrum.weighting.apply import effective_sample_size

METRICS, TOKENLOG = "metrics", "tokenlog"
ROW_STATS = tuple(s.name for s in STATISTICS if s.optional)


def write_run(root: Path, job: TrainJob) -> Path:
    """The run's one row in the table `runs`."""
    rule = job.rule.record()
    columns = {
        "method": [job.method],
        "rule": [job.rule.to_json()],
        "layer": [job.rule.layers[0] if len(job.rule.layers) == 1 else None],
        "tau": [rule.get("tau")],
        "preset": [job.preset],
        "trainer": [job.train.trainer],
        "policy": [job.policy_name],
    }
    return write_step(root / TOKENLOG, "runs", runs.SCHEMA, columns, run=job.run, seed=job.seed, step=None)


def write_tables(
    root: Path, job: TrainJob, layers: Sequence[int], record: StepRecord, summary: Mapping[str, Any]
) -> list[Path]:
    """Write every table of one step.  Returns the paths.  `layers` are logged; `summary` comes from `summarise`."""
    log = job.train.token_log

    def write(out: str, module: Any, columns: Mapping[str, Any]) -> Path:
        name = module.__name__.rpartition(".")[2]
        return write_step(root / out, name, module.SCHEMA, columns, run=job.run, seed=job.seed, step=record.step)

    paths = [
        write(METRICS, metrics, {name: [value] for name, value in summary.items()}),
        write(TOKENLOG, responses, response_columns(record.rollouts.judged)),
    ]
    if log.tokens == "every_step":
        paths.append(write(TOKENLOG, tokens, token_columns(record)))
    if log.attention == "streaming" and layers:
        columns = attention_columns(record.measured, record.rollouts.responses, layers)
        if (sample := record.row_sample) is not None:
            columns = with_row_stats(columns, sample, layers)
            tokens_of = [(sample.response_ids[r], position) for r, position in sample.tokens]
            paths.append(write(TOKENLOG, attention_rows, row_columns(sample.measured, tokens_of, layers)))
        paths.append(write(TOKENLOG, attention, columns))
    return paths


def summarise(record: StepRecord, layers: Sequence[int], clip: tuple[float, float]) -> dict[str, Any]:
    """The columns of the table `metrics`.  `layers` are those that are logged; `clip` is the ratio's range."""
    rollouts, measured, updates = record.rollouts, record.measured, record.updates
    rewarded, n, seen = rollouts.judged.rewarded, len(rollouts.responses), rollouts.seen
    return {
        "loss": sum(update.loss for update in updates) / len(updates),
        "s_m": [update.s_m for update in updates],
        "reward": seen.reward,
        "reward_raw": sum(s.reward_raw for s in rewarded) / n,
        "accuracy": sum(s.correct for s in rewarded) / n,
        "boxed": sum(s.answer is not None for s in rewarded) / n,
        "length": seen.length,
        "truncated": sum(response.finish_reason == "length" for response in rollouts.responses) / n,
        "predictive_entropy": float(measured.predictive_entropy_N.double().mean()),
        "attention_entropy": float(measured.attention[layers[0]].entropy_norm_N.double().mean()) if layers else None,
        "grad_norm": [update.grad_norm for update in updates],
        "clip_fraction": float(((record.ratio_N < clip[0]) | (record.ratio_N > clip[1])).double().mean()),
        "kept_fraction": float((record.weight_N > 0).double().mean()),
        "score_at_cut": record.score_at_cut,
        "mean_weight": float(record.weight_N.double().mean()),
        "effective_sample_size": effective_sample_size(record.weight_N),
        **sampling_mismatch(measured.logprob_N.numpy(), sampled_columns(rollouts.responses)["rollout_logprob"]),
        "skipped": sum(update.grad_norm is None for update in updates),
        "lr": record.lr,
        "generated_groups": rollouts.generated,
        "kept_groups": rollouts.kept,
        "realised": json.dumps(dict(record.realised), sort_keys=True),
    }


def token_columns(record: StepRecord) -> dict[str, Any]:
    """Columns of the table `tokens`."""
    rollouts, lengths_R = record.rollouts, record.rollouts.lengths_R
    return {
        **sampled_columns(rollouts.responses),
        "logprob": record.measured.logprob_N.numpy(),
        "predictive_entropy": record.measured.predictive_entropy_N.numpy(),
        "advantage": rollouts.judged.advantage_R.repeat_interleave(lengths_R).numpy(),
        "weight": record.weight_N.numpy(),
        "minibatch": rollouts.minibatch_R.repeat_interleave(lengths_R).numpy(),
        "ratio": record.ratio_N.numpy(),
        "loss": record.loss_N.numpy(),
    }


def with_row_stats(columns: dict[str, Any], sample: RowSample, layers: Sequence[int]) -> dict[str, Any]:
    """Columns of the table `attention` plus those that need whole rows: null outside the sampled responses."""
    in_sample_N = np.isin(columns["response_id"], sample.response_ids)
    sampled = attention_columns(sample.measured, sample.responses, layers)
    for name in ROW_STATS:
        value_N = np.zeros(len(in_sample_N), sampled[name].dtype)
        value_N[in_sample_N] = sampled[name]
        columns[name] = pa.array(value_N, mask=~in_sample_N)
    return columns
