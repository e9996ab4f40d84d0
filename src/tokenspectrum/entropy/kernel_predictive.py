"""Triton kernel of predictive entropy: it computes and reduces the logits on the chip, one vocabulary block at a time.

One program covers BM tokens and a chunk of the vocabulary.  For the logits l of its chunk it keeps the maximum m,
Z = sum exp(l - m), U = sum exp(l - m)(l - m), the target's logit and the largest |l|.  The chunks are combined outside.
BM tokens, BN entries of the vocabulary, BK a slice of the hidden size.  UPCAST as in `kernel_attention`.
"""

import triton
import triton.language as tl

# Rows of the partial sums, in this order.
TOP, Z, U, TARGET, LARGEST = (tl.constexpr(i) for i in range(5))
SUMS = 5


@triton.jit
def predictive_kernel(
    hidden, weight, bias, targets, sums, tokens, vocabulary, per_chunk, inverse_temperature,
    stride_hn, stride_hd, stride_wv, stride_wd,
    DIM: tl.constexpr, HAS_BIAS: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    UPCAST: tl.constexpr,
):  # fmt: skip
    """sums is (chunks, 5, tokens) float32, and every element is written; per_chunk is a multiple of BN."""
    # Programs of one vocabulary chunk run together, so that its weights are read from memory only once.
    token_block, chunk = tl.program_id(0), tl.program_id(1)
    token = token_block * BM + tl.arange(0, BM)
    real = token < tokens
    target = tl.load(targets + token, mask=real, other=-1)
    top = tl.full([BM], -float("inf"), tl.float32)
    z = tl.zeros([BM], tl.float32)
    u = tl.zeros([BM], tl.float32)
    chosen = tl.zeros([BM], tl.float32)
    largest = tl.zeros([BM], tl.float32)
    hidden_row = hidden + token.to(tl.int64)[:, None] * stride_hn
    for start in range(chunk * per_chunk, tl.minimum((chunk + 1) * per_chunk, vocabulary), BN):
        entry = start + tl.arange(0, BN)
        known = entry < vocabulary
        weight_row = weight + entry.to(tl.int64)[None, :] * stride_wv
        logit = tl.zeros([BM, BN], tl.float32)
        for d in range(0, DIM, BK):
            dim = d + tl.arange(0, BK)
            h = tl.load(hidden_row + dim[None, :] * stride_hd, mask=real[:, None] & (dim < DIM)[None, :], other=0.0)
            w = tl.load(weight_row + dim[:, None] * stride_wd, mask=known[None, :] & (dim < DIM)[:, None], other=0.0)
            if UPCAST:
                h, w = h.to(tl.float32), w.to(tl.float32)
            logit = tl.dot(h, w, logit, input_precision="ieee")
        if HAS_BIAS:
            logit += tl.load(bias + entry, mask=known, other=0.0).to(tl.float32)[None, :]
        logit *= inverse_temperature
        chosen += tl.sum(tl.where(entry[None, :] == target[:, None], logit, 0.0), 1)
        largest = tl.maximum(largest, tl.max(tl.where(known[None, :], tl.abs(logit), 0.0), 1))
        higher = tl.maximum(top, tl.max(tl.where(known[None, :], logit, -float("inf")), 1))
        # Before the first block m is -inf and the sums are 0.  The shift must still be finite: 0 * inf is NaN.
        drop = tl.where(top == -float("inf"), 0.0, top - higher)
        shrink = tl.exp(drop)
        shifted = tl.where(known[None, :], logit - higher[:, None], 0.0)
        p = tl.where(known[None, :], tl.exp(shifted), 0.0)
        u = shrink * (u + drop * z) + tl.sum(p * shifted, 1)
        z = shrink * z + tl.sum(p, 1)
        top = higher
    out = sums + (chunk * 5).to(tl.int64) * tokens + token
    tl.store(out + TOP * tokens, top, mask=real)
    tl.store(out + Z * tokens, z, mask=real)
    tl.store(out + U * tokens, u, mask=real)
    tl.store(out + TARGET * tokens, chosen, mask=real)
    tl.store(out + LARGEST * tokens, largest, mask=real)
