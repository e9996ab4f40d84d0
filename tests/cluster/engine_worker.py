"""verl's actor on one rank, scoring stored responses in every way it can: python engine_worker.py STORED OUT.

As equivalence_worker.py, without Ray and vLLM.
"""

import sys
from dataclasses import replace
from typing import Any

import torch
from engine_kit import HALF, WAYS, Way
from equivalence_kit import Stored
from equivalence_worker import make_worker
from verl.utils import tensordict_utils as tu

from tokenspectrum.portable.kernels import install
from tokenspectrum.training.backends.verl.batch import measure_info, measure_rows
from tokenspectrum.training.backends.verl.record import row_field, scores_of
from tokenspectrum.training.backends.verl.request import REQUEST, ROW_TOKENS

torch.set_num_threads(1)


def score(worker: Any, stored: Stored, way: Way) -> Any:
    responses = stored.rollouts.responses
    # Two ranks' worth of rows: shuffled, and with padding rows among them.
    rows = measure_rows(responses, 2)
    worker.engine.pad_to_length, worker.engine.pad_to_length_bucket = way.bucket is not None, way.bucket or 1
    info = measure_info() | {"use_remove_padding": way.packed, "max_token_len_per_gpu": way.tokens}
    if way.request:
        info[REQUEST] = way.request
    if way.rows:
        rows.fields[ROW_TOKENS] = row_field(rows, way.rows)
    answer = worker.infer_batch(tu.get_tensordict(dict(rows.fields), info))
    assert way.request or set(answer.keys()) == {"log_probs", "entropy", "metrics"}
    size = worker.engine.module.config.vocab_size
    dtype = stored.job.train.dtype
    return scores_of(answer, rows, responses, way.request, way.rows, vocabulary=size, dtype=dtype)


def main(stored_path: str, out: str) -> None:
    stored: Stored = torch.load(stored_path, weights_only=False)
    worker = make_worker(stored)
    found = {name: score(worker, stored, way) for name, way in WAYS.items()}
    train = stored.job.train.model_copy(update={"dtype": "bfloat16"})
    half = replace(stored, job=replace(stored.job, train=train))
    worker = make_worker(half)
    found |= {f"bfloat16: {name}": score(worker, half, WAYS[name]) for name in HALF}
    torch.save(found | {"kernels installed": install.cache_info().currsize}, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
