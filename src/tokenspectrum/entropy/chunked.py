"""Attention entropy in plain torch on any device, one block of rows at a time.

A block has R query rows and takes a few key heads at a time.  One matrix product gives the logits of the query heads
that share these key heads.  exp2 in place makes them exponentials, and one sum normalises them.  One more product adds
their weighted sum to the head mean.  The logarithm is taken of the (R, S) head mean alone.  Positions that a causal row
does not see are not computed, except in the corner of each block.  Memory is one tile of exponentials at any length.

Shapes: b sequences of a block, R rows of each, k key heads at a time, G query heads of a key head, S positions,
D head dimension.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenspectrum.entropy.inputs import Problem, name_not_finite
from tokenspectrum.entropy.rows import row_statistics
from tokenspectrum.entropy.types import Options

LOG2_E = math.log2(math.e)

# Size of a tile of exponentials.  2**19 floats (2 MiB) stay in a core's caches, so the passes after the matrix product
# are cheap.  Smaller tiles cost more calls.  A GPU needs larger tiles, since it needs enough rows to be busy.
TILE_CPU, TILE_GPU = 2**19, 2**26
ROWS_CPU, ROWS_GPU = 96, 1024
# From this width on it is faster to add up heads by one small product a row than by one pass over memory a head
# (measured).
PRODUCT_WIDTH = 512

# Largest possible |logit| (scale |q| |k|) for which float32 arithmetic keeps the promised error: 2e-5 nats on float32
# inputs, 1e-3 on 16-bit ones (whose products are exact in float32).  Above it a block is computed in float64.
# Measured worst errors at 64, 128, 256: 3e-6, 1e-5, 6e-5 nats.
LIMIT_FLOAT32, LIMIT_HALF = 64.0, 4096.0
# Up to this |logit| exp needs no shift by the row's maximum: sums of exp(+-64) over any length are normal float32.
LIMIT_UNSHIFTED = 64.0
# A row's head mean starts from this instead of 0, so that no log of zero is taken.  Its a ln a is 1e-34 or less, which
# rounding hides.
TINY = {torch.float32: 1e-36, torch.float64: 1e-300}


@dataclass(frozen=True)
class Block:
    """Rows `first` to `last` (exclusive, per sequence) of a few sequences, computed together."""

    sequences: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]


def chunked_entropy(problem: Problem, options: Options, limits: Sequence[float]) -> dict[str, Tensor]:
    """Every statistic asked for, (Q,) float32 (float64 for float64 inputs; int64 for support sizes)."""
    out: dict[str, Tensor] = {}
    base = _row_bases(problem)
    for block in _plan(problem):
        a_bRS, position_bR = head_mean_rows(problem, block, limits)
        rows, width = a_bRS.shape[1], a_bRS.shape[2]
        stats = row_statistics(a_bRS.view(-1, width), position_bR.reshape(-1), options)
        for name, value_r in stats.items():
            if name not in out:
                dtype = _output_dtype(problem) if value_r.is_floating_point() else value_r.dtype
                out[name] = value_r.new_empty(problem.rows, dtype=dtype)
            value_bR = value_r.view(-1, rows)
            for i, b in enumerate(block.sequences):
                count = block.last[i] - block.first[i]
                begin = base[b] + block.first[i] - problem.start[b]
                out[name][begin : begin + count] = value_bR[i, :count]
    return out


def head_mean_rows(problem: Problem, block: Block, limits: Sequence[float]) -> tuple[Tensor, Tensor]:
    """(b, R, S) head-averaged attention of a block, TINY where not seen, and its (b, R) query positions.

    A sequence with fewer rows than the block repeats its last one.
    """
    device = problem.q_NHD.device
    rows = max(b - a for a, b in zip(block.first, block.last, strict=True))
    width = max(block.last)
    position_bR = _positions(block, rows, device)
    dtype, shifted = _arithmetic(problem.q_NHD.dtype, max(limits[b] for b in block.sequences))

    q_bRHD, k_bSKD, lse_bHR = _gather(problem, block, position_bR, width)
    batch, heads, groups = len(block.sequences), problem.heads, problem.groups
    key_heads, dim = heads // groups, q_bRHD.shape[3]
    q_bRKGD = q_bRHD.to(dtype).mul(problem.scale * LOG2_E).view(batch, rows, key_heads, groups, dim)
    q_bKMD = q_bRKGD.transpose(1, 2).reshape(batch, key_heads, rows * groups, dim)
    k_bKDS = k_bSKD.to(dtype).permute(0, 2, 3, 1)
    # Every row sees the columns up to the block's first position.  Only later columns need the mask.
    corner = min(block.first) + 1
    mask_b1R1C = _triangle(rows, dtype, device) if batch == 1 else _ragged_mask(position_bR, corner, width, dtype)
    mean_bRS = torch.full((batch, rows, width), TINY[dtype], dtype=dtype, device=device)
    tile = TILE_CPU if device.type == "cpu" else TILE_GPU
    together = min(key_heads, max(1, tile // (batch * rows * groups * width)))
    space = torch.empty(batch * together, rows * groups, width, dtype=dtype, device=device)
    for begin in range(0, key_heads, together):
        these = slice(begin, begin + together)
        q_xMD, k_xDS = q_bKMD[:, these].flatten(0, 1), k_bKDS[:, these].flatten(0, 1)
        e_xMS = torch.bmm(q_xMD, k_xDS, out=space[: len(q_xMD)])
        e_bkRGS = e_xMS.view(batch, -1, rows, groups, width)
        e_bkRGS[..., corner:].add_(mask_b1R1C)
        shift_bkRG1: Tensor | float = 0.0
        if shifted:
            shift_bkRG1 = e_bkRGS.amax(-1, keepdim=True)
            e_bkRGS.sub_(shift_bkRG1)
        e_bkRGS.exp2_()
        if lse_bHR is None:
            weight_bkRG1 = e_bkRGS.sum(-1, keepdim=True).mul_(heads).reciprocal_()
        else:
            lse_bKGR = lse_bHR.view(batch, key_heads, groups, rows).to(dtype)
            lse_bkRG1 = lse_bKGR[:, these].transpose(2, 3)[..., None]
            weight_bkRG1 = (shift_bkRG1 - lse_bkRG1 * LOG2_E).exp2_().div_(heads)
        _add_heads(mean_bRS, e_bkRGS, weight_bkRG1)
    if lse_bHR is not None:
        # A log-sum-exp that was given has its own rounding error.  The row's sum shows it, so divide by that sum.
        mean_bRS.div_(mean_bRS.sum(-1, keepdim=True))
    return mean_bRS, position_bR


def _positions(block: Block, rows: int, device: torch.device) -> Tensor:
    """(b, R) int64 query positions; a sequence with fewer rows repeats its last one."""
    if len(block.sequences) == 1:
        return torch.arange(block.first[0], block.last[0], device=device)[None]
    first_b1 = torch.tensor(block.first, device=device)[:, None]
    last_b1 = torch.tensor(block.last, device=device)[:, None]
    return torch.minimum(first_b1 + torch.arange(rows, device=device), last_b1 - 1)


@functools.lru_cache(maxsize=8)
def _triangle(rows: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(1, 1, R, 1, R - 1): mask of the columns after the first row's own, where the rows of one sequence see less."""
    mask_RC = torch.full((rows, rows - 1), -math.inf, dtype=dtype, device=device).triu_()
    return mask_RC[None, None, :, None]


def _ragged_mask(position_bR: Tensor, corner: int, width: int, dtype: torch.dtype) -> Tensor:
    """(b, 1, R, 1, C), columns from `corner` on: -inf where a column is later than the row's position, else 0."""
    unseen_bRC = torch.arange(corner, width, device=position_bR.device) > position_bR[:, :, None]
    mask_bRC = torch.zeros(unseen_bRC.shape, dtype=dtype, device=position_bR.device)
    return mask_bRC.masked_fill_(unseen_bRC, -math.inf)[:, None, :, None]


def _add_heads(mean_bRS: Tensor, e_bkRGS: Tensor, weight_bkRG1: Tensor) -> None:
    """Add the weighted sum of the exponentials over their heads to `mean_bRS`."""
    batch, rows, width = mean_bRS.shape
    if mean_bRS.device.type == "cpu" and batch == 1 and width >= PRODUCT_WIDTH:
        for e_RGS, weight_RG1 in zip(e_bkRGS[0], weight_bkRG1[0], strict=True):
            mean_bRS.view(rows, 1, width).baddbmm_(weight_RG1.transpose(1, 2), e_RGS)
        return
    for key_head in range(e_bkRGS.shape[1]):
        for head in range(e_bkRGS.shape[3]):
            mean_bRS.addcmul_(e_bkRGS[:, key_head, :, head], weight_bkRG1[:, key_head, :, head])


def logit_limits(problem: Problem) -> list[float]:
    """An upper bound of |logit| for each sequence: scale |q| |k| (Cauchy-Schwarz).

    Raises:
        ValueError: a NaN or an infinity in q or k, named by sequence and head.
    """
    dtype = torch.promote_types(problem.q_NHD.dtype, torch.float32)
    norms = [torch.linalg.vector_norm(x, dim=-1, dtype=dtype).amax(-1) for x in (problem.q_NHD, problem.k_NKD)]
    q_N, k_N = torch.stack(norms).cpu()
    # The norm of a finite vector may overflow.  Then the bound is infinite, and float64 is used.
    finite = all(bool(torch.isfinite(norm_N).all()) for norm_N in (q_N, k_N))
    if not finite and not all(bool(torch.isfinite(x).all()) for x in (problem.q_NHD, problem.k_NKD)):
        raise name_not_finite(problem)
    spans = itertools.pairwise(problem.offset)
    return [problem.scale * float(q_N[a:b].max()) * float(k_N[a:b].max()) for a, b in spans]


def _arithmetic(dtype: torch.dtype, limit: float) -> tuple[torch.dtype, bool]:
    """The dtype to compute in, and whether to shift logits by their row's maximum."""
    if needs_float64(dtype, limit):
        return torch.float64, True
    return torch.float32, limit > LIMIT_UNSHIFTED


def needs_float64(dtype: torch.dtype, limit: float) -> bool:
    """Whether float32 arithmetic could miss the promised error for inputs of this dtype and logits up to `limit`."""
    accepted = LIMIT_FLOAT32 if dtype == torch.float32 else LIMIT_HALF
    return dtype == torch.float64 or not limit <= accepted


def _output_dtype(problem: Problem) -> torch.dtype:
    return torch.promote_types(problem.q_NHD.dtype, torch.float32)


def _row_bases(problem: Problem) -> list[int]:
    base, total = [], 0
    for a, b in zip(problem.start, problem.stop, strict=True):
        base.append(total)
        total += b - a
    return base


def _plan(problem: Problem) -> Iterator[Block]:
    """Cut the rows into blocks: many short sequences of similar length together, or a few rows of a long one."""
    on_cpu = problem.q_NHD.device.type == "cpu"
    tile, most_rows = (TILE_CPU, ROWS_CPU) if on_cpu else (TILE_GPU, ROWS_GPU)
    wanted = [b for b in range(len(problem.start)) if problem.stop[b] > problem.start[b]]
    group: list[int] = []
    group_rows = 0
    for b in sorted(wanted, key=lambda b: (problem.stop[b], problem.start[b])):
        rows = problem.stop[b] - problem.start[b]
        if rows * problem.heads * problem.stop[b] > tile:
            yield from _slices(problem, b, tile, most_rows)
            continue
        group_rows = max(group_rows, rows)
        if group and (len(group) + 1) * group_rows * problem.heads * problem.stop[b] > tile:
            yield _whole(problem, group)
            group, group_rows = [], rows
        group.append(b)
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
