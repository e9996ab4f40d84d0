"""Attention entropy in plain torch, block of rows by block of rows, on any device.

For a block of R query rows and one key head at a time: one matrix product gives the logits of the G query heads that
share it, exp2 in place makes them exponentials, one sum normalises them, and one batched product adds their weighted
sum to the head mean.  Only the (R, S) head mean is ever read by the logarithm.  What a causal row does not see is
not computed, but for the corner of each block.  Memory: one tile of exponentials, whatever the length.

Shapes: b sequences of a group, R rows of each, G query heads of a key head, S positions, D head dimension.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenspectrum.entropy.inputs import Problem, name_not_finite
from tokenspectrum.entropy.rows import row_statistics
from tokenspectrum.entropy.types import Options

LOG2_E = math.log2(math.e)

# A tile of exponentials: 2**18 floats (1 MiB) stay in a core's second-level cache, where the passes after the matrix
# product are cheap.  A GPU wants enough rows to fill it instead.
TILE_CPU, TILE_GPU = 2**18, 2**26
ROWS_CPU, ROWS_GPU = 64, 1024

# Largest possible |logit| (scale |q| |k|) for which float32 keeps the promised error of 2e-5 nats on float32 inputs,
# and 1e-3 on 16-bit ones.  A logit of size L carries a rounding error of about L / 2**24 times a small factor, and the
# entropy inherits it.  Beyond, the block is computed in float64.
LIMIT_FLOAT32, LIMIT_HALF = 32.0, 1024.0
# Up to here exp needs no shift by the row's maximum: sums of exp(+-60) over any length are normal float32 numbers.
LIMIT_UNSHIFTED = 60.0


@dataclass(frozen=True)
class Block:
    """Rows `first` to `last` (exclusive, per sequence) of a few sequences, computed together."""

    sequences: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]


def chunked_entropy(problem: Problem, options: Options) -> dict[str, Tensor]:
    """Every statistic asked for, (Q,) float32 (float64 for float64 inputs; int64 for support sizes)."""
    out: dict[str, Tensor] = {}
    base = _row_bases(problem)
    limits = logit_limits(problem)
    for block in _plan(problem):
        a_bRS, position_bR = head_mean_rows(problem, block, limits)
        rows, width = a_bRS.shape[1], a_bRS.shape[2]
        stats = row_statistics(a_bRS.view(-1, width), position_bR.reshape(-1), options)
        for name, value_r in stats.items():
            if name not in out:
                dtype = value_r.dtype if name.startswith("support") else _output_dtype(problem)
                out[name] = value_r.new_empty(problem.rows, dtype=dtype)
            value_bR = value_r.view(-1, rows)
            for i, b in enumerate(block.sequences):
                count = block.last[i] - block.first[i]
                begin = base[b] + block.first[i] - problem.start[b]
                out[name][begin : begin + count] = value_bR[i, :count]
    return out


def head_mean_rows(problem: Problem, block: Block, limits: Tensor) -> tuple[Tensor, Tensor]:
    """(b, R, S) head-averaged attention of a block, zero where not seen, and its (b, R) query positions.

    A sequence with fewer rows than the block repeats its last one.
    """
    device = problem.q_NHD.device
    rows = max(b - a for a, b in zip(block.first, block.last, strict=True))
    width = max(block.last)
    first_b1 = torch.tensor(block.first, device=device)[:, None]
    last_b1 = torch.tensor(block.last, device=device)[:, None]
    position_bR = torch.minimum(first_b1 + torch.arange(rows, device=device), last_b1 - 1)
    limit = max(_sequence_limit(problem, limits, b) for b in block.sequences)
    dtype, shifted = _arithmetic(problem.q_NHD.dtype, limit)

    q_bRHD, k_bSKD, lse_bHR = _gather(problem, block, position_bR, width)
    heads, groups, dim = problem.heads, problem.groups, problem.q_NHD.shape[2]
    batch = len(block.sequences)
    # Columns up to the block's first position are seen by every row: the mask is needed only behind them.
    corner = min(block.first) + 1
    hidden_bR1C = torch.arange(corner, width, device=device) > position_bR[:, :, None, None]
    mean_bRS = torch.zeros(batch, rows, width, dtype=dtype, device=device)
    tile = torch.empty(batch * rows * groups * width, dtype=dtype, device=device)
    e_bMS, e_bRGS = tile.view(batch, rows * groups, width), tile.view(batch, rows, groups, width)
    for g in range(heads // groups):
        q_bMD = q_bRHD[:, :, g * groups : (g + 1) * groups].to(dtype).mul(problem.scale * LOG2_E)
        k_bSD = k_bSKD[:, :, g].to(dtype)
        torch.bmm(q_bMD.reshape(batch, rows * groups, dim), k_bSD.transpose(1, 2), out=e_bMS)
        e_bRGS[..., corner:].masked_fill_(hidden_bR1C, -math.inf)
        shift_bRG1: Tensor | float = 0.0
        if shifted:
            shift_bRG1 = e_bRGS.amax(-1, keepdim=True)
            e_bRGS.sub_(shift_bRG1)
        tile.exp2_()
        if lse_bHR is None:
            weight_bRG = e_bRGS.sum(-1).mul_(heads).reciprocal_()
        else:
            lse_bRG1 = lse_bHR[:, g * groups : (g + 1) * groups].transpose(1, 2)[..., None].to(dtype)
            weight_bRG = (shift_bRG1 - lse_bRG1 * LOG2_E).squeeze(-1).exp2_().div_(heads)
        mean_bRS.view(batch * rows, 1, width).baddbmm_(
            weight_bRG.view(batch * rows, 1, groups), e_bRGS.view(batch * rows, groups, width)
        )
    return mean_bRS, position_bR


def logit_limits(problem: Problem) -> Tensor:
    """(2, N) on the CPU: the largest |q| and |k| over the heads of each token, by Cauchy-Schwarz a bound on logits.

    Raises:
        ValueError: a NaN or an infinity in q or k, named by sequence and head.
    """
    dtype = torch.promote_types(problem.q_NHD.dtype, torch.float32)
    norms = [torch.linalg.vector_norm(x, dim=-1, dtype=dtype).amax(-1) for x in (problem.q_NHD, problem.k_NKD)]
    limits_2N = torch.stack(norms).cpu()
    if not bool(torch.isfinite(limits_2N).all()):
        finite = bool(torch.isfinite(problem.q_NHD).all()) and bool(torch.isfinite(problem.k_NKD).all())
        if not finite:
            raise name_not_finite(problem)
    return limits_2N


def _sequence_limit(problem: Problem, limits_2N: Tensor, b: int) -> float:
    begin = problem.offset[b]
    q_limit = limits_2N[0, begin + problem.start[b] : begin + problem.stop[b]].max()
    k_limit = limits_2N[1, begin : begin + problem.stop[b]].max()
    return problem.scale * float(q_limit) * float(k_limit)


def _arithmetic(dtype: torch.dtype, limit: float) -> tuple[torch.dtype, bool]:
    """The dtype to compute in, and whether to shift logits by their row's maximum."""
    accepted = LIMIT_FLOAT32 if dtype == torch.float32 else LIMIT_HALF
    if dtype == torch.float64 or not limit <= accepted:
        return torch.float64, True
    return torch.float32, limit > LIMIT_UNSHIFTED


def _output_dtype(problem: Problem) -> torch.dtype:
    return torch.promote_types(problem.q_NHD.dtype, torch.float32)


def _row_bases(problem: Problem) -> list[int]:
    base, total = [], 0
    for a, b in zip(problem.start, problem.stop, strict=True):
        base.append(total)
        total += b - a
    return base


def _plan(problem: Problem) -> Iterator[Block]:
    """Cut the rows into blocks: many short sequences of like length at once, or a few rows of a long one."""
    on_cpu = problem.q_NHD.device.type == "cpu"
    tile, most_rows = (TILE_CPU, ROWS_CPU) if on_cpu else (TILE_GPU, ROWS_GPU)
    by_length = sorted(
        (b for b in range(len(problem.start)) if problem.stop[b] > problem.start[b]),
        key=lambda b: (problem.stop[b], problem.stop[b] - problem.start[b]),
    )
    group: list[int] = []
    for b in by_length:
        together = [*group, b]
        rows = max(problem.stop[i] - problem.start[i] for i in together)
        if len(together) * rows * problem.groups * problem.stop[b] <= tile:
            group = together
            continue
        if group:
            yield _whole(problem, group)
        group = [b]
        rows = problem.stop[b] - problem.start[b]
        if rows * problem.groups * problem.stop[b] > tile:
            yield from _slices(problem, b, tile, most_rows)
            group = []
    if group:
        yield _whole(problem, group)


def _whole(problem: Problem, group: list[int]) -> Block:
    return Block(tuple(group), tuple(problem.start[b] for b in group), tuple(problem.stop[b] for b in group))


def _slices(problem: Problem, b: int, tile: int, most_rows: int) -> Iterator[Block]:
    first = problem.start[b]
    while first < problem.stop[b]:
        rows = max(1, min(most_rows, tile // (problem.groups * (first + most_rows))))
        last = min(first + rows, problem.stop[b])
        yield Block((b,), (first,), (last,))
        first = last


def _gather(problem: Problem, block: Block, position_bR: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """q (b, R, H, D), k (b, S, K, D) and lse (b, H, R) of a block; views of the input for a single sequence."""
    lse_HN = problem.lse_HN
    if len(block.sequences) == 1:
        begin = problem.offset[block.sequences[0]]
        rows = slice(begin + block.first[0], begin + block.last[0])
        lse_bHR = None if lse_HN is None else lse_HN[None, :, rows]
        return problem.q_NHD[None, rows], problem.k_NKD[None, begin : begin + width], lse_bHR
    device = problem.q_NHD.device
    begin_b1 = torch.tensor([problem.offset[b] for b in block.sequences], device=device)[:, None]
    last_b1 = torch.tensor(block.last, device=device)[:, None]
    token_bR = begin_b1 + position_bR
    token_bS = begin_b1 + torch.minimum(torch.arange(width, device=device), last_b1 - 1)
    lse_bHR = None if lse_HN is None else lse_HN[:, token_bR].transpose(0, 1)
    return problem.q_NHD[token_bR], problem.k_NKD[token_bS], lse_bHR
