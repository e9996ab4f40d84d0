"""The triton backend: divides the work among the kernels, launches them and combines their partial sums.

It needs triton, so it is imported only when the backend is used.  Memory beyond q and k is (H, N) log-sum-exps and at
most MOST_CHUNKS x 6 sums a row, at any length.  Rows that must be sorted are computed one slab at a time.
"""

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from tokenspectrum.entropy import kernel_attention, kernel_predictive
from tokenspectrum.entropy.backends import interpreted
from tokenspectrum.entropy.inputs import Problem
from tokenspectrum.entropy.rows import sorted_statistics
from tokenspectrum.entropy.types import Options


@dataclass(frozen=True)
class Tile:
    """Shape and schedule of a kernel: rows, columns, warps, pipeline stages."""

    rows: int
    columns: int
    warps: int
    stages: int
    nested: bool = False
    """Attention, pass 2: read a key tile once a group of heads, rather than pipeline one flat loop over heads."""
    depth: int = 64
    """Predictive: slice of the hidden size."""


# Chosen by counting (LOG.md of the benchmark) and by what the compiler reports for an H200: almost no spills, and at
# most 227 KiB of shared memory.  `python -m benchmarks.entropy tune` times the alternatives on the present device.  The
# tiles are constants and are not tuned at run time, so that results repeat.
LSE_TILE = Tile(128, 128, 8, 3)
MEAN_TILE = Tile(128, 128, 8, 3, nested=True)
PREDICTIVE_TILE = Tile(128, 128, 8, 3)
# float32 tiles need twice the shared memory.  Their IEEE products are computed in registers, not by tensor cores.
LSE_TILE_FLOAT32 = Tile(32, 64, 8, 2)
MEAN_TILE_FLOAT32 = Tile(32, 64, 8, 2)
PREDICTIVE_TILE_FLOAT32 = Tile(64, 64, 8, 2, depth=32)

MOST_CHUNKS = 16
SLAB = 2**23  # floats of whole rows in memory at once, for the statistics that sort


def fused_entropy(
    problem: Problem, options: Options, *, lse_tile: Tile | None = None, mean_tile: Tile | None = None
) -> dict[str, Tensor]:
    """Every statistic asked for, (Q,) float32 (int64 for support sizes)."""
    wide = problem.q_NHD.dtype == torch.float32
    lse_tile = lse_tile or (LSE_TILE_FLOAT32 if wide else LSE_TILE)
    mean_tile = mean_tile or (MEAN_TILE_FLOAT32 if wide else MEAN_TILE)
    if not problem.rows:
        return {}
    lse_HN = problem.lse_HN if problem.lse_HN is not None else fused_lse(problem, lse_tile)
    lse_HN = lse_HN.float().contiguous()
    table = _row_blocks(problem, mean_tile.rows)
    sums_6Q = _launch_mean(problem, options, lse_HN, table, mean_tile, None)
    mass_Q, plogp_Q, distance_Q, local_Q, fixed_mass_Q, fixed_plogp_Q = sums_6Q
    # A row's sum M differs from 1 by rounding, so divide by it: H of a / M is ln M - (sum a ln a) / M.
    out = {"raw": mass_Q.log() - plogp_Q / mass_Q}
    if "distance" in options.variants:
        out["distance"] = distance_Q / mass_Q
    if "local_mass" in options.variants:
        out["local_mass"] = local_Q / mass_Q
    if "fixed" in options.variants:
        out["fixed"] = fixed_mass_Q.log() - fixed_plogp_Q / fixed_mass_Q
        out["fixed_mass"] = fixed_mass_Q
    if options.sorts:
        out |= _sorted(problem, options, lse_HN, table, mean_tile)
    return out


def fused_lse(problem: Problem, tile: Tile) -> Tensor:
    """(H, N) float32 log-sum-exp of the scaled visible logits; only the rows wanted are written."""
    table = _row_blocks(problem, tile.rows)
    tokens, heads, dim = problem.q_NHD.shape
    lse_HN = torch.empty(heads, tokens, dtype=torch.float32, device=problem.q_NHD.device)
    q, k = _last_contiguous(problem.q_NHD), _last_contiguous(problem.k_NKD)
    blocks = table.shape[1]
    kernel_attention.lse_kernel[(blocks, heads)](
        q, k, lse_HN, table, blocks, tokens, problem.scale,
        q.stride(0), q.stride(1), k.stride(0), k.stride(1),
        GROUPS=problem.groups, D=dim, BD=_padded(dim), BM=tile.rows, BN=tile.columns,
        UPCAST=interpreted(), num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return lse_HN


def _launch_mean(
    problem: Problem, options: Options, lse_HN: Tensor, table: Tensor, tile: Tile, rows_QS: Tensor | None
) -> Tensor:
    """(6, Q) sums of the head-mean rows of the blocks in `table`.  If rows_QS is given, the rows are written to it."""
    tokens, heads, dim = problem.q_NHD.shape
    blocks = table.shape[1]
    longest = max(problem.stop)
    chunk = max(1, triton.cdiv(triton.cdiv(longest, tile.columns), MOST_CHUNKS))
    chunks = triton.cdiv(triton.cdiv(longest, tile.columns), chunk)
    queries = problem.rows if rows_QS is None else len(rows_QS)
    sums_C6Q = torch.empty(chunks, kernel_attention.SUMS, queries, dtype=torch.float32, device=lse_HN.device)
    q, k = _last_contiguous(problem.q_NHD), _last_contiguous(problem.k_NKD)
    kernel_attention.mean_kernel[(blocks, chunks)](
        q, k, lse_HN, table, blocks, tokens, problem.scale,
        sums_C6Q, rows_QS if rows_QS is not None else sums_C6Q, queries, 0 if rows_QS is None else rows_QS.shape[1],
        chunk, options.local_window, options.fixed_k,
        q.stride(0), q.stride(1), k.stride(0), k.stride(1),
        HEADS=heads, GROUPS=problem.groups, D=dim, BD=_padded(dim), BM=tile.rows, BN=tile.columns,
        WITH_DISTANCE="distance" in options.variants, WITH_LOCAL="local_mass" in options.variants,
        WITH_FIXED="fixed" in options.variants, STORE_ROWS=rows_QS is not None, NESTED=tile.nested,
        UPCAST=interpreted(), num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return sums_C6Q.sum(0)


def _sorted(problem: Problem, options: Options, lse_HN: Tensor, table: Tensor, tile: Tile) -> dict[str, Tensor]:
    """The statistics that sort whole rows, computed one slab of row blocks at a time."""
    width = max(problem.stop)
    per_slab = max(1, SLAB // (tile.rows * width))
    pieces: dict[str, Tensor] = {}
    for begin in range(0, table.shape[1], per_slab):
        blocks = table[:, begin : begin + per_slab].clone()
        counts = blocks[2].minimum(blocks[1] + tile.rows) - blocks[1]
        total = int(counts.sum())
        source = torch.cat([torch.arange(a, a + n) for a, n in zip(blocks[3].tolist(), counts.tolist(), strict=True)])
        blocks[3] = counts.cumsum(0) - counts
        rows_QS = torch.zeros(total, width, dtype=torch.float32, device=lse_HN.device)
        _launch_mean(problem, options, lse_HN, blocks, tile, rows_QS)
        for name, values in sorted_statistics(rows_QS, options).items():
            if name not in pieces:
                pieces[name] = values.new_empty(problem.rows)
            pieces[name][source.to(values.device)] = values
    return pieces


def _row_blocks(problem: Problem, rows: int) -> Tensor:
    """(4, blocks) int32.  The latest rows come first: they see most, and the device should not end with them."""
    table, base = [], 0
    for b, (start, stop) in enumerate(zip(problem.start, problem.stop, strict=True)):
        table += [(problem.offset[b], first, stop, base + first - start) for first in range(start, stop, rows)]
        base += stop - start
    table.sort(key=lambda block: -block[1])
    return torch.tensor(table, dtype=torch.int32).T.contiguous().to(problem.q_NHD.device)


def _last_contiguous(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _padded(dim: int) -> int:
    return max(16, triton.next_power_of_2(dim))


def fused_predictive(
    hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor, temperature: float, bias_V: Tensor | None,
    *, tile: Tile | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """(logprob_N, entropy_N, largest |logit|_N) in float32."""
    tile = tile or (PREDICTIVE_TILE_FLOAT32 if hidden_ND.dtype == torch.float32 else PREDICTIVE_TILE)
    tokens, vocabulary = len(hidden_ND), len(weight_VD)
    token_blocks = triton.cdiv(tokens, tile.rows)
    # Chunks are whole vocabulary blocks, and many enough to fill a large device several times.
    wanted = max(1, min(triton.cdiv(1024, max(1, token_blocks)), MOST_CHUNKS))
    per_chunk = triton.cdiv(triton.cdiv(vocabulary, tile.columns), wanted) * tile.columns
    chunks = triton.cdiv(vocabulary, per_chunk)
    sums_C5N = torch.empty(chunks, kernel_predictive.SUMS, tokens, dtype=torch.float32, device=hidden_ND.device)
    if tokens:
        kernel_predictive.predictive_kernel[(token_blocks, chunks)](
            hidden_ND, weight_VD, hidden_ND if bias_V is None else bias_V.contiguous(), target_N.contiguous(), sums_C5N,
            tokens, vocabulary, per_chunk, 1.0 / temperature,
            hidden_ND.stride(0), hidden_ND.stride(1), weight_VD.stride(0), weight_VD.stride(1),
            DIM=hidden_ND.shape[1], HAS_BIAS=bias_V is not None, BM=tile.rows, BN=tile.columns, BK=tile.depth,
            UPCAST=interpreted(), num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip
    top_CN, z_CN, u_CN, chosen_CN, largest_CN = sums_C5N.unbind(1)
    top_N = top_CN.amax(0)
    drop_CN = top_CN - top_N
    shrink_CN = drop_CN.exp()
    u_N = (shrink_CN * (u_CN + drop_CN * z_CN)).sum(0)
    z_N = (shrink_CN * z_CN).sum(0)
    log_z_N = z_N.log()
    return chosen_CN.sum(0) - top_N - log_z_N, log_z_N - u_N / z_N, largest_CN.amax(0)
