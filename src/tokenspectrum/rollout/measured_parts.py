"""Measure responses part by part, each kept as it is finished.  The numbers are those of `measure_responses`.

Knows how statistics of parts become statistics of all.  Knows no model and no kernel.

Legend: R responses, N response tokens of all responses in order, n those of one response.
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load, save

from tokenspectrum.rollout.padded import micro_batches
from tokenspectrum.rollout.parts import Codec, Place, in_parts
from tokenspectrum.rollout.statistics import AttentionStatistics, Statistics
from tokenspectrum.rollout.types import Response

# The statistics of one response: name -> (n,), and the attention rows that were asked for.  Names hold the layer.
OfResponse = dict[str, torch.Tensor]


def measure_in_parts(
    measure: Callable[[Sequence[Response], Sequence[tuple[int, int]]], Statistics],
    responses: Sequence[Response],
    rows: Sequence[tuple[int, int]],
    layers: Sequence[int],
    *,
    micro_batch: int,
    share_prompts: bool,
    place: Place,
    facts: Mapping[str, Any],
    report: Callable[[int], None],
    count: Callable[[int], None] = lambda tokens: None,
    processes: int = 1,
) -> Statistics:
    """`measure(responses, rows)`, a micro-batch a part.

    Parts hold the responses that `measure_responses` itself would put into a micro-batch: the bytes are the same.
    `facts` is all that decides the statistics besides the responses and rows.  `count` is called with the tokens of
    each part that is measured now.
    """

    def make(items: list[int]) -> list[OfResponse]:
        at = {r: i for i, r in enumerate(items)}
        wanted = [(i, r, t) for i, (r, t) in enumerate(rows) if r in at]
        found = measure([responses[r] for r in items], [(at[r], t) for _, r, t in wanted])
        return _split(found, [(i, at[r]) for i, r, _ in wanted])

    decided = {
        **facts,
        "rows": list(rows),
        "responses": [[r.prompt_id, r.sample, r.prompt_token_ids, r.token_ids] for r in responses],
    }
    every = micro_batches(responses, micro_batch, share_prompts)
    parts = in_parts(
        place,
        decided,
        [r for index in every for r in index],
        len(every[0]) if every else micro_batch,
        make,
        _CODEC,
        report,
        lambda items: count(sum(len(responses[r].token_ids) for r in items)),
        processes,
    )
    return _joined(parts, len(rows), layers)


def _split(found: Statistics, rows: Sequence[tuple[int, int]]) -> list[OfResponse]:
    """Statistics response by response; `rows` has (number, response) of the attention rows in `found`."""
    flat = {"logprob": found.logprob_N, "entropy": found.predictive_entropy_N}
    for layer, of_layer in found.attention.items():
        flat |= {f"{layer}/{name}": value_N for name, value_N in vars(of_layer).items() if value_N is not None}
    pieces = {name: value_N.split(found.lengths_R.tolist()) for name, value_N in flat.items()}
    split = [{name: of_name[r] for name, of_name in pieces.items()} for r in range(len(found.lengths_R))]
    for layer, of_layer in found.rows.items():
        for (number, r), row in zip(rows, of_layer, strict=True):
            split[r][f"{layer}/row {number}"] = row
    return split


def _joined(parts: Sequence[OfResponse], n_rows: int, layers: Sequence[int]) -> Statistics:
    """Statistics of all responses, in order."""
    rows = {name: row for part in parts for name, row in part.items() if "/row " in name}
    names = [name for name in parts[0] if "/row " not in name]
    flat = {name: torch.cat([part[name] for part in parts]) for name in names}
    return Statistics(
        lengths_R=torch.tensor([len(part["logprob"]) for part in parts], dtype=torch.int64),
        logprob_N=flat["logprob"],
        predictive_entropy_N=flat["entropy"],
        attention={
            layer: AttentionStatistics(
                **{name.partition("/")[2]: flat[name] for name in names if name.startswith(f"{layer}/")}
            )
            for layer in layers
        },
        rows={layer: [rows[f"{layer}/row {i}"] for i in range(n_rows)] for layer in layers},
    )


def _pack(parts: list[OfResponse]) -> bytes:
    """The responses' lengths as a line of JSON, then the tensors: those of all responses in one, each row apart."""
    names = [name for name in parts[0] if "/row " not in name]
    tensors = {name: torch.cat([part[name] for part in parts]) for name in names}
    for r, part in enumerate(parts):
        tensors |= {f"{r}:{name}": row.contiguous() for name, row in part.items() if "/row " in name}
    return json.dumps([len(part["logprob"]) for part in parts]).encode() + b"\n" + save(tensors)


def _unpack(payload: bytes) -> list[OfResponse]:
    head, _, content = payload.partition(b"\n")
    lengths, tensors = json.loads(head), load(content)
    starts = [0, *itertools.accumulate(lengths)]
    parts: list[OfResponse] = [{} for _ in lengths]
    for name, tensor in tensors.items():
        at, is_row, plain = name.partition(":")
        if is_row:
            parts[int(at)][plain] = tensor
            continue
        for r, part in enumerate(parts):
            part[name] = tensor[starts[r] : starts[r + 1]]
    return parts


_CODEC = Codec(_pack, _unpack)
