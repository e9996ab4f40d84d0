"""Scoring beside a plain forward pass, time and memory.  The calls are those of benchmarks/scoring.py."""

from collections.abc import Iterator

import torch

from benchmarks.entropy.measure import measure_together
from benchmarks.gpu.policy import QWEN3_0_6B, TINY, make
from benchmarks.scoring import calls


def measure(device: str) -> Iterator[dict[str, object]]:
    """A row for the forward pass, one layer and all layers: milliseconds and MiB."""
    sizes, name, tokens = (QWEN3_0_6B, "qwen3-0.6b", 2048) if device == "cuda" else (TINY, "tiny", 128)
    model = make(sizes, device, torch.bfloat16 if device == "cuda" else torch.float32, tokens)
    found = measure_together(calls(model, tokens), device, 2.0 if device == "cuda" else 0.0)
    for what, result in found.items():
        row: dict[str, object] = {"what": what, "policy": name, "tokens": tokens}
        if isinstance(result, str):
            yield row | {"why": "out of memory"}
        else:
            yield row | {"ms": f"{1e3 * result.median_s:.4g}", "peak_mib": f"{result.peak_mib:.4g}"}
