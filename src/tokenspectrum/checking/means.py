"""The means in the table `metrics`, against the responses and tokens of their step.  Knows no rule."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tokenspectrum.checking.found import Report
from tokenspectrum.weighting.apply import effective_sample_size

TOLERANCE = 1e-5  # of a mean of float32 columns


def check_means(path: Path, metrics: pa.Table, responses: pa.Table, tokens: pa.Table | None, report: Report) -> None:
    """One step's row of `metrics`; what tokens give is left out where they are not logged."""

    def mean(name: str) -> float:
        return float(np.mean(np.array(responses[name].to_pylist(), dtype=float)))

    wanted = {
        "reward": mean("reward"),
        "reward_raw": mean("reward_raw"),
        "accuracy": mean("correct"),
        "boxed": 1 - responses["answer"].null_count / responses.num_rows,
        "length": mean("n_tokens"),
        "truncated": responses["finish_reason"].to_pylist().count("length") / responses.num_rows,
    }
    if tokens is not None:
        weight_N = torch.from_numpy(tokens["weight"].to_numpy().copy())
        wanted |= {
            "predictive_entropy": float(tokens["predictive_entropy"].to_numpy().astype(float).mean()),
            "kept_fraction": float((weight_N > 0).double().mean()),
            "mean_weight": float(weight_N.double().mean()),
            "effective_sample_size": effective_sample_size(weight_N),
        }
    for name, value in wanted.items():
        report.same("means", path, name, metrics[name].to_pylist(), [value], TOLERANCE)
