"""Scaled dot-product attention on CPUs, by NumPy's OpenBLAS.  Knows tensors; knows no model.

PyTorch's fused attention calls MKL by itself.  Its plain path copies the keys for every query head and goes over the
scores ten times.  Here the query heads of a key head share its keys, and causal attention goes by blocks of queries, so
that most of the scores that no query sees are not computed.  For each block:

    P = softmax(scale Q K' + mask),  O = P V
    dV += P' dO,  dP = dO V',  dS = P (dP - rowsum(dP P)),  dQ = scale dS K,  dK += scale dS' Q

Legend: B rows of the batch, H query heads, K key heads, G = H / K query heads of a key head, T queries, t those of a
block, S keys, D and E width of a key's and of a value's head.
"""

import math
from typing import Any

import numpy as np
import torch

from tokenspectrum.portable.products import array

TYPES = frozenset({torch.float32, torch.float64})
# Queries of a block.  The order of sums follows from it: it is part of what the bytes depend on.
BLOCK = 32


def _by_token(rows: int, heads: int, length: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """Zeros (rows, heads, length, width) whose memory is ordered (rows, length, heads, width), as models want it."""
    return like.new_zeros(rows, length, heads, width).transpose(1, 2)


def _grouped(x: np.ndarray, key_heads: int) -> np.ndarray:
    """(B, H, t, D) as a view (B, K, G, t, D)."""
    rows, heads, length, width = x.shape
    return x.reshape(rows, key_heads, heads // key_heads, length, width, copy=False)


def _joined(x: torch.Tensor, key_heads: int) -> np.ndarray:
    """(B, H, t, D) with the query heads of a key head one below the other: (B, K, G t, D)."""
    return array(x.contiguous()).reshape(x.shape[0], key_heads, -1, x.shape[-1])


def _blocks(length: int, keys: int, is_causal: bool) -> list[tuple[slice, slice]]:
    """Queries of each block, and the keys that they see."""
    if not is_causal:
        return [(slice(0, length), slice(0, keys))]
    starts = range(0, length, BLOCK)
    return [(slice(i, min(i + BLOCK, length)), slice(0, min(i + BLOCK, length))) for i in starts]


def _added(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The mask as numbers to add, without the axes along which it only repeats."""
    for axis in range(mask.dim() - 1):
        if mask.stride(axis) == 0 and mask.shape[axis] > 1:
            mask = mask.narrow(axis, 0, 1)
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.where(mask, 0.0, -math.inf).to(dtype)


def _probabilities(
    score_BHtS: torch.Tensor, mask: torch.Tensor | None, seen: tuple[slice, slice] | None
) -> torch.Tensor:
    """Softmax over the keys; zeros for a query that sees none.  `seen`: a causal block's queries and keys."""
    if seen is not None:
        first, last = seen[0].start, seen[1].stop
        hidden_tS = torch.ones(score_BHtS.shape[2], last - first, dtype=torch.bool).triu_(1)
        score_BHtS[..., first:].masked_fill_(hidden_tS, -math.inf)
    if mask is None:
        return score_BHtS.softmax(-1)
    added = _added(mask, score_BHtS.dtype)
    p_BHtS = score_BHtS.add_(added).softmax(-1)
    blind = added.amax(-1, keepdim=True) == -math.inf
    return p_BHtS.masked_fill_(blind, 0.0) if bool(blind.any()) else p_BHtS


def forward(
    q_BHTD: torch.Tensor,
    k_BKSD: torch.Tensor,
    v_BKSE: torch.Tensor,
    mask: torch.Tensor | None,
    is_causal: bool,
    scale: float,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(B, H, T, E) outputs, and each block's probabilities (B, H, t, S).

    mask: boolean, True where a key is seen, or numbers that are added; it broadcasts to (B, H, T, S).
    """
    (rows, heads, length, _), (_, key_heads, keys, _) = q_BHTD.shape, k_BKSD.shape
    k, v = array(k_BKSD).swapaxes(-1, -2), array(v_BKSE)[:, :, None]
    out_BHTE = _by_token(rows, heads, length, v_BKSE.shape[-1], q_BHTD)
    out, found = out_BHTE.numpy(), []
    for at, seen in _blocks(length, keys, is_causal):
        score_BHtS = q_BHTD.new_empty(rows, heads, at.stop - at.start, seen.stop)
        scaled = _joined(q_BHTD[:, :, at] * scale, key_heads)
        np.matmul(scaled, k[..., seen], out=score_BHtS.numpy().reshape(rows, key_heads, -1, seen.stop))
        p_BHtS = _probabilities(score_BHtS, mask, (at, seen) if is_causal else None)
        np.matmul(_grouped(array(p_BHtS), key_heads), v[..., seen, :], out=_grouped(out[:, :, at], key_heads))
        found.append(p_BHtS)
    return out_BHTE, found


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Any, is_causal: bool, scale: float
    ) -> torch.Tensor:
        out, found = forward(q, k, v, mask, is_causal, scale)
        ctx.save_for_backward(q, k, v, *found)
        ctx.is_causal, ctx.scale = is_causal, scale
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_BHTE: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q_BHTD, k_BKSD, v_BKSE, *found = ctx.saved_tensors
        (rows, key_heads, keys, width), (_, heads, length, _) = k_BKSD.shape, q_BHTD.shape
        k, v = array(k_BKSD)[:, :, None], array(v_BKSE).swapaxes(-1, -2)
        dq_BHTD = _by_token(rows, heads, length, width, q_BHTD)
        dk_BKSD = _by_token(rows, key_heads, keys, width, q_BHTD)
        dv_BKSE = _by_token(rows, key_heads, keys, v_BKSE.shape[-1], q_BHTD)
        dq, dk, dv = dq_BHTD.numpy(), dk_BKSD.numpy(), dv_BKSE.numpy()
        for (at, seen), p_BHtS in zip(_blocks(length, keys, ctx.is_causal), found, strict=True):
            grad, dp_BHtS = _joined(grad_BHTE[:, :, at], key_heads), torch.empty_like(p_BHtS)
            dv[:, :, seen] += _joined(p_BHtS, key_heads).swapaxes(-1, -2) @ grad
            np.matmul(grad, v[..., seen], out=dp_BHtS.numpy().reshape(rows, key_heads, -1, seen.stop))
            ds_BHtS = torch._softmax_backward_data(dp_BHtS, p_BHtS, -1, p_BHtS.dtype)
            np.matmul(_grouped(array(ds_BHtS), key_heads), k[..., seen, :], out=_grouped(dq[:, :, at], key_heads))
            dk[:, :, seen] += _joined(ds_BHtS, key_heads).swapaxes(-1, -2) @ _joined(q_BHTD[:, :, at], key_heads)
        return dq_BHTD.mul_(ctx.scale), dk_BKSD.mul_(ctx.scale), dv_BKSE, None, None, None


def _only_plain() -> bool:
    """Whether PyTorch is told to use no fused attention."""
    return not (torch.backends.cuda.flash_sdp_enabled() or torch.backends.cuda.mem_efficient_sdp_enabled())


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """torch.nn.functional.scaled_dot_product_attention.  What models here do not ask for takes PyTorch's plain path.

    That is: dropout, a gradient of the mask, causal attention with a mask or to another number of keys, other types
    than float32 and float64, and other axes than (batch, heads, positions, width).  So does whoever allows the plain
    path alone (`sdpa_kernel(SDPBackend.MATH)`): for second derivatives, which the code here does not have.  The plain
    path's products are those of products.py.
    """
    fits = q.dim() == k.dim() == v.dim() == 4 and q.shape[0] == k.shape[0] == v.shape[0] and k.shape[1] == v.shape[1]
    grouped = fits and (q.shape[1] == k.shape[1] or (enable_gqa and q.shape[1] % k.shape[1] == 0))
    learnt = attn_mask is not None and attn_mask.requires_grad
    odd = is_causal and (attn_mask is not None or q.shape[-2] != k.shape[-2])
    if not grouped or dropout_p or learnt or odd or q.dtype not in TYPES or _only_plain():
        if attn_mask is not None and attn_mask.dtype == torch.bool:  # the plain path adds masks
            attn_mask = _added(attn_mask, q.dtype)
        plain = torch.ops.aten._scaled_dot_product_attention_math
        return plain(q, k, v, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)[0]
    options = (attn_mask, is_causal, q.shape[-1] ** -0.5 if scale is None else scale)
    if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
        return _Attention.apply(q, k, v, *options)
    return forward(q, k, v, *options)[0]
