"""How well a few tokens estimate the gradient of all: random masks of a small batch, measured.

With z_t of chance p and g = (1/T) sum_t g_t, two estimators of g are measured against it:

    expected   (1/(p T)) sum_t z_t g_t
    selected   sum_t z_t g_t / sum_t z_t

and with random signs e_t, E |(1/T) sum_t e_t g_t|^2 = (1/T) mean |g_t|^2, without a gradient of a single token.

Knows a model and responses.  Knows no rule and no file.  Legend: R responses, T their tokens, K draws.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.gradients.held import held
from tokenspectrum.gradients.part import of_chosen_prompts
from tokenspectrum.gradients.squares import products
from tokenspectrum.params.gradients import SparseParams
from tokenspectrum.rollout.types import Response


@dataclass(frozen=True)
class Draw:
    """One row of the coefficients: what kind of draw it is, its fraction and number, and z_t or e_t."""

    kind: str
    p: float
    number: int
    value_T: np.ndarray


def sparse_columns(
    model: PreTrainedModel,
    responses: Sequence[Response],
    advantage_R: np.ndarray,
    params: SparseParams,
    seed: int,
    step: int,
    micro_batch: int,
    share_prompts: bool = False,
    processes: int = 1,
) -> dict[str, list[Any]]:
    """Columns of the table `sparse_gradients` for the small batch among `responses`."""
    rows = of_chosen_prompts([response.prompt_id for response in responses], params.prompts, "sparse", seed, step)
    chosen = [responses[r] for r in rows]
    lengths = [len(response.token_ids) for response in chosen]
    advantage_T = np.repeat(np.asarray(advantage_R, np.float64)[rows], lengths)
    n = len(advantage_T)
    batches = (micro_batch, share_prompts)
    (whole,), square = held(model, chosen, torch.from_numpy(-advantage_T / n).float()[None], *batches, processes)
    draws = list(_draws(chosen, lengths, params, seed, step))
    coefficient_KT = torch.from_numpy(np.stack([-advantage_T * draw.value_T / n for draw in draws])).float()
    of = products(model, chosen, coefficient_KT, *batches, along=whole, processes=processes)
    each = zip(draws, of.own_K, of.along_K, strict=True)
    found = [row for draw, own, along in each for row in _measured(draw, own, along, square)]
    return {name: [row[name] for row in found] for name in found[0]}


def _draws(
    chosen: Sequence[Response], lengths: Sequence[int], params: SparseParams, seed: int, step: int
) -> Iterator[Draw]:
    position_T = np.concatenate([np.arange(length) for length in lengths])

    def uniform_T(domain: str) -> np.ndarray:
        keys = [stream_key(domain, seed, step, response.prompt_id, response.sample) for response in chosen]
        return uniforms(np.repeat(np.array(keys, np.uint64), lengths), position_T)

    for p in params.p:
        for number in range(params.draws):
            yield Draw("mask", p, number, (uniform_T(f"sparse.{p!r}.{number}") < p).astype(np.float64))
    for number in range(params.signs):
        yield Draw("signs", 1.0, number, np.where(uniform_T(f"signs.{number}") < 0.5, -1.0, 1.0))


def _measured(draw: Draw, own: float, along: float, square: float) -> Iterator[dict[str, Any]]:
    """Rows of one draw: `own` = |g_z|^2, `along` = <g_z, g>, g_z the sum of z_t g_t over T; `square` = |g|^2."""
    n = len(draw.value_T)
    head = {"p": draw.p, "draw": draw.number, "batch": n}
    if draw.kind == "signs":
        yield {"estimator": "signs"} | head | {"tokens": n, "error": own / square if square else None, "cosine": None}
        return
    kept = int(draw.value_T.sum())
    for estimator, scale in (("expected", 1 / draw.p), ("selected", n / kept if kept else math.nan)):
        known = square > 0 and not math.isnan(scale)
        yield (
            {"estimator": estimator}
            | head
            | {
                "tokens": kept,
                "error": scale * scale * own / square - 2 * scale * along / square + 1 if known else None,
                "cosine": along / math.sqrt(own * square) if own and square else None,
            }
        )
