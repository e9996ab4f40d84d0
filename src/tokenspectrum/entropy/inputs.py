"""Check what callers pass in, and bring it into the one layout that every backend uses.

A `Problem` is packed: the tokens of all sequences follow one another, with offsets.  A batched input becomes a Problem
without a copy of q or k.  Every error is one line that says what is wrong and where.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenspectrum.entropy.types import VARIANTS, Options
from tokenspectrum.row_statistics import STATISTICS

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PerSequence = int | Sequence[int] | Tensor


@dataclass(frozen=True)
class Problem:
    """Packed queries and keys, and the rows wanted.  B sequences, N tokens, H heads, K key heads, D head dimension."""

    q_NHD: Tensor
    k_NKD: Tensor
    offset: tuple[int, ...]
    """(B + 1) where each sequence starts in N."""
    start: tuple[int, ...]
    """(B) first query position wanted, within its sequence."""
    stop: tuple[int, ...]
    """(B) one past the last query position wanted."""
    scale: float
    lse_HN: Tensor | None

    @property
    def heads(self) -> int:
        return self.q_NHD.shape[1]

    @property
    def groups(self) -> int:
        """Query heads that share a key head."""
        return self.q_NHD.shape[1] // self.k_NKD.shape[1]

    @property
    def rows(self) -> int:
        return sum(b - a for a, b in zip(self.start, self.stop, strict=True))

    def positions(self) -> Tensor:
        """(Q,) int64: position of every row wanted, within its sequence."""
        spans = [torch.arange(a, b) for a, b in zip(self.start, self.stop, strict=True)]
        return torch.cat([torch.arange(0), *spans]).to(self.q_NHD.device)  # there may be no sequence

    def sequences(self) -> Tensor:
        """(Q,) int64: sequence of every row wanted."""
        counts = [b - a for a, b in zip(self.start, self.stop, strict=True)]
        repeats = torch.tensor(counts, dtype=torch.int64)
        return torch.repeat_interleave(torch.arange(len(counts)), repeats).to(self.q_NHD.device)


def make_problem(
    q: Tensor,
    k: Tensor,
    cu_seqlens: Tensor | Sequence[int] | None,
    query_start: PerSequence | None,
    query_stop: PerSequence | None,
    scale: float | None,
    lse: Tensor | None,
) -> Problem:
    """Check the inputs of `attention_entropy` and bring them into packed form."""
    _check_tensors(q, k)
    if q.dim() == 4:
        if cu_seqlens is not None:
            raise ValueError("cu_seqlens goes with packed q of (tokens, heads, dim); this q is batched, (B, T, H, D)")
        batch, length = q.shape[:2]
        offset = tuple(range(0, (batch + 1) * length, length)) if length else (0,) * (batch + 1)
        if lse is not None:
            _check_lse(lse, (batch, q.shape[2], length), q)
            lse = lse.transpose(0, 1).reshape(q.shape[2], batch * length)
        q, k = q.flatten(0, 1), k.flatten(0, 1)
    else:
        offset = _offsets(cu_seqlens, q.shape[0])
        if lse is not None:
            _check_lse(lse, (q.shape[1], q.shape[0]), q)
    lengths = tuple(b - a for a, b in itertools.pairwise(offset))
    for index, length in enumerate(lengths):
        if length < 1:
            raise ValueError(f"sequence {index} is empty: every sequence needs at least one token")
    start = _per_sequence(query_start, (0,) * len(lengths), "query_start")
    stop = _per_sequence(query_stop, lengths, "query_stop")
    for index, (a, b, length) in enumerate(zip(start, stop, lengths, strict=True)):
        if not 0 <= a <= b <= length:
            raise ValueError(
                f"sequence {index}: rows {a} to {b} are not within its {length} tokens (query_start, query_stop)"
            )
    if scale is None:
        scale = q.shape[-1] ** -0.5
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale must be a positive number, got {scale}")
    return Problem(q, k, offset, start, stop, float(scale), lse)


def check_options(variants: Sequence[str], local_window: int, fixed_k: int | None, top_k: int | None) -> Options:
    """Check the variants asked for and their parameters."""
    if isinstance(variants, str):
        raise TypeError(f"variants must be a sequence of names such as ({variants!r},), not one string")
    unknown = sorted(set(variants).difference(VARIANTS))
    if unknown:
        raise ValueError(f"unknown variants {unknown}: known are {list(VARIANTS)}")
    given = {"local_window": local_window, "fixed_k": fixed_k, "top_k": top_k}
    for name, key in {s.variant: s.param for s in STATISTICS if s.param}.items():
        if name in variants and (given[key] is None or given[key] < 1):
            raise ValueError(f"variant {name!r} needs {key} >= 1, got {given[key]}")
    return Options(frozenset(variants), local_window, fixed_k or 0, top_k or 0)


def name_not_finite(problem: Problem) -> ValueError:
    """The error for a NaN or an infinity in q or k.  It names the first sequence and head that hold one."""
    for name, x_NHD in (("q", problem.q_NHD), ("k", problem.k_NKD)):
        bad = (~torch.isfinite(x_NHD)).any(-1).nonzero()
        if len(bad):
            token, head = bad[0].tolist()
            index = next(i for i, end in enumerate(problem.offset[1:]) if token < end)
            where = f"sequence {index}, head {head}, position {token - problem.offset[index]}"
            return ValueError(f"NaN or infinity in {name}: {where}")
    raise AssertionError("q and k are finite")


def _check_tensors(q: Tensor, k: Tensor) -> None:
    for name, x in (("q", q), ("k", k)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} must be a torch tensor, got {type(x).__name__}")
        if x.dim() not in (3, 4):
            raise ValueError(f"{name} must be (tokens, heads, dim) or (B, T, heads, dim), got shape {tuple(x.shape)}")
        if x.dtype not in DTYPES:
            raise TypeError(f"{name} has dtype {x.dtype}: float16, bfloat16, float32 or float64 is needed")
    if q.dtype != k.dtype:
        raise TypeError(f"q is {q.dtype} but k is {k.dtype}: give both the same dtype")
    if q.device != k.device:
        raise ValueError(f"q is on {q.device} but k is on {k.device}: put both on the same device")
    if q.dim() != k.dim() or q.shape[:-2] != k.shape[:-2]:
        raise ValueError(f"q {tuple(q.shape)} and k {tuple(k.shape)} do not hold the same tokens")
    if q.shape[-1] != k.shape[-1] or q.shape[-1] < 1:
        raise ValueError(f"q has head dimension {q.shape[-1]} but k has {k.shape[-1]}")
    if k.shape[-2] < 1 or q.shape[-2] < 1 or q.shape[-2] % k.shape[-2]:
        raise ValueError(f"{q.shape[-2]} query heads are not a multiple of {k.shape[-2]} key heads")


def _check_lse(lse: Tensor, shape: tuple[int, ...], q: Tensor) -> None:
    if tuple(lse.shape) != shape:
        raise ValueError(f"lse has shape {tuple(lse.shape)}: {shape} is needed (packed: (H, N); batched: (B, H, T))")
    if lse.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"lse has dtype {lse.dtype}: float32 is needed, lower precision would not do")
    if lse.device != q.device:
        raise ValueError(f"lse is on {lse.device} but q is on {q.device}")
    # It is enough to test one number: it is NaN or infinite if any entry is.
    if not torch.isfinite(lse.sum()) and not torch.isfinite(lse).all():
        where = (~torch.isfinite(lse)).nonzero()[0].tolist()
        raise ValueError(f"NaN or infinity in lse at {where}")


def _offsets(cu_seqlens: Tensor | Sequence[int] | None, tokens: int) -> tuple[int, ...]:
    if cu_seqlens is None:
        return (0, tokens)
    values = cu_seqlens.tolist() if isinstance(cu_seqlens, Tensor) else list(cu_seqlens)
    if not values or values[0] != 0 or values[-1] != tokens or sorted(values) != values:
        raise ValueError(f"cu_seqlens must rise from 0 to the {tokens} tokens of q, got {values[:8]}")
    return tuple(values)


def _per_sequence(value: PerSequence | None, default: tuple[int, ...], name: str) -> tuple[int, ...]:
    if value is None:
        return default
    if isinstance(value, int):
        return (value,) * len(default)
    values = tuple(int(v) for v in (value.tolist() if isinstance(value, Tensor) else value))
    if len(values) != len(default):
        raise ValueError(f"{name} has {len(values)} entries for {len(default)} sequences")
    return values
