"""Triton kernels of attention entropy: first each head's log-sum-exp, then the sums over the rows of the head mean.

Pass 1 is the forward pass of flash attention without values: an online softmax over key tiles, with one program for
each row block and head.  Pass 2 keeps one (BM, BN) tile of the head mean in registers.  It adds exp2(logit - lse) of
every head to the tile.  When the tile is complete, it reduces the tile to sums over the row, so a tile never leaves the
chip.  One program covers a row block and a chunk of key tiles.  Chunks have equal size, so early and late rows load the
device evenly.  The chunks' sums are added up outside in a fixed order, so the result repeats bit for bit.

UPCAST makes tiles float32 before their product.  This changes no result, since products of 16-bit numbers are exact in
float32.  Triton's interpreter needs it: it multiplies bfloat16 as if it were integers.

Row blocks come in a table (4, blocks) of int32: first token of the sequence in the packed input, first row and end of
rows within the sequence, first row in the output.  BM rows, BN keys, BD the head dimension padded to a power of two.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)

# Rows of the partial sums that pass 2 writes, in this order.
MASS, PLOGP, DISTANCE, LOCAL, FIXED_MASS, FIXED_PLOGP = (tl.constexpr(i) for i in range(6))
SUMS = 6


@triton.jit
def _load_tile(base, offset, limit, stride, D: tl.constexpr, BD: tl.constexpr, UPCAST: tl.constexpr):
    """(rows, BD) tile of vectors, zero beyond `limit` rows and beyond D."""
    d = tl.arange(0, BD)
    inside = (offset < limit)[:, None] & (d < D)[None, :]
    tile = tl.load(base + offset.to(tl.int64)[:, None] * stride + d[None, :], mask=inside, other=0.0)
    if UPCAST:
        tile = tile.to(tl.float32)
    return tile


@triton.jit
def lse_kernel(
    q, k, lse, table, blocks, tokens, scale,
    stride_qn, stride_qh, stride_kn, stride_kh,
    GROUPS: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    UPCAST: tl.constexpr,
):  # fmt: skip
    """lse[h, n] = ln sum_j exp(scale q_hn . k_j) over the visible j, for the rows of one block and one head."""
    block, head = tl.program_id(0), tl.program_id(1)
    begin = tl.load(table + block).to(tl.int64)
    first = tl.load(table + blocks + block)
    end = tl.load(table + 2 * blocks + block)
    row = first + tl.arange(0, BM)
    q_tile = _load_tile(q + begin * stride_qn + head * stride_qh, row, end, stride_qn, D, BD, UPCAST)
    k_head = k + begin * stride_kn + (head // GROUPS) * stride_kh
    top = tl.full([BM], -float("inf"), tl.float32)
    total = tl.zeros([BM], tl.float32)
    last = tl.minimum(first + BM, end)
    for start in range(0, last, BN):
        column = start + tl.arange(0, BN)
        k_tile = _load_tile(k_head, column, last, stride_kn, D, BD, UPCAST)
        logit = tl.dot(q_tile, tl.trans(k_tile), input_precision="ieee") * (scale * LOG2_E)
        logit = tl.where(column[None, :] <= row[:, None], logit, -float("inf"))
        higher = tl.maximum(top, tl.max(logit, 1))
        total = total * tl.exp2(top - higher) + tl.sum(tl.exp2(logit - higher[:, None]), 1)
        top = higher
    tl.store(lse + head * tokens + begin + row, (top + tl.log2(total)) * LN_2, mask=row < end)


@triton.jit
def _add_head(
    mean, q_rows, k_tile, lse, head, row, end, slope, stride_qn, stride_qh,
    D: tl.constexpr, BD: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """mean plus one head's attention probabilities on the tile.  No mask yet: exp2 of what is not seen may be inf."""
    q_tile = _load_tile(q_rows + head * stride_qh, row, end, stride_qn, D, BD, UPCAST)
    lse_row = tl.load(lse + row, mask=row < end, other=0.0)
    logit = tl.dot(q_tile, tl.trans(k_tile), input_precision="ieee") * slope
    return mean + tl.exp2(logit - (lse_row * LOG2_E)[:, None])


@triton.jit
def mean_kernel(
    q, k, lse, table, blocks, tokens, scale,
    sums, rows_out, queries, width, chunk, window, fixed_k,
    stride_qn, stride_qh, stride_kn, stride_kh,
    HEADS: tl.constexpr, GROUPS: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    WITH_DISTANCE: tl.constexpr, WITH_LOCAL: tl.constexpr, WITH_FIXED: tl.constexpr, STORE_ROWS: tl.constexpr,
    NESTED: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """Sums over one chunk of the head-mean rows of one block; with STORE_ROWS also the rows themselves.

    sums is (chunks, 6, queries) float32, and every element is written; rows_out is (queries, width) float32.
    """
    block, part = tl.program_id(0), tl.program_id(1)
    begin = tl.load(table + block).to(tl.int64)
    first = tl.load(table + blocks + block)
    end = tl.load(table + 2 * blocks + block)
    out = tl.load(table + 3 * blocks + block)
    row = first + tl.arange(0, BM)
    last = tl.minimum(first + BM, end)
    q_rows, k_rows = q + begin * stride_qn, k + begin * stride_kn
    slope = scale * LOG2_E
    mass = tl.zeros([BM], tl.float32)
    plogp = tl.zeros([BM], tl.float32)
    distance = tl.zeros([BM], tl.float32)
    local = tl.zeros([BM], tl.float32)
    fixed_mass = tl.zeros([BM], tl.float32)
    fixed_plogp = tl.zeros([BM], tl.float32)
    for start in range(part * chunk * BN, tl.minimum((part + 1) * chunk * BN, last), BN):
        column = start + tl.arange(0, BN)
        mean = tl.zeros([BM, BN], tl.float32)
        # Nested loops read a key tile once for its group of heads.  One flat loop can load tiles further ahead.
        if NESTED:
            for key_head in range(HEADS // GROUPS):
                k_tile = _load_tile(k_rows + key_head * stride_kh, column, last, stride_kn, D, BD, UPCAST)
                for member in range(GROUPS):
                    head = key_head * GROUPS + member
                    lse_head = lse + head * tokens + begin
                    mean = _add_head(
                        mean, q_rows, k_tile, lse_head, head, row, end, slope, stride_qn, stride_qh, D, BD, UPCAST
                    )
        else:
            for head in range(HEADS):
                k_tile = _load_tile(k_rows + (head // GROUPS) * stride_kh, column, last, stride_kn, D, BD, UPCAST)
                lse_head = lse + head * tokens + begin
                mean = _add_head(
                    mean, q_rows, k_tile, lse_head, head, row, end, slope, stride_qn, stride_qh, D, BD, UPCAST
                )
        seen = (column[None, :] <= row[:, None]) & (row < end)[:, None]
        mean = tl.where(seen, mean * (1.0 / HEADS), 0.0)
        term = mean * tl.log2(tl.where(mean > 0.0, mean, 1.0))
        mass += tl.sum(mean, 1)
        plogp += tl.sum(term, 1)
        back = row[:, None] - column[None, :]
        if WITH_DISTANCE:
            distance += tl.sum(mean * back.to(tl.float32), 1)
        if WITH_LOCAL:
            local += tl.sum(tl.where(back < window, mean, 0.0), 1)
        if WITH_FIXED:
            early = (column < fixed_k)[None, :]
            fixed_mass += tl.sum(tl.where(early, mean, 0.0), 1)
            fixed_plogp += tl.sum(tl.where(early, term, 0.0), 1)
        if STORE_ROWS:
            target = rows_out + (out + tl.arange(0, BM)).to(tl.int64)[:, None] * width + column[None, :]
            tl.store(target, mean, mask=(row < end)[:, None] & (column < width)[None, :])
    target = sums + (part * 6).to(tl.int64) * queries + out + tl.arange(0, BM)
    tl.store(target + MASS * queries, mass, mask=row < end)
    tl.store(target + PLOGP * queries, plogp * LN_2, mask=row < end)
    tl.store(target + DISTANCE * queries, distance, mask=row < end)
    tl.store(target + LOCAL * queries, local, mask=row < end)
    tl.store(target + FIXED_MASS * queries, fixed_mass, mask=row < end)
    tl.store(target + FIXED_PLOGP * queries, fixed_plogp * LN_2, mask=row < end)
