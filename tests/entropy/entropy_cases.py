"""Inputs and an independent float64 oracle for the tests of the entropy room.

The oracle holds everything whole, (H, T, T) in float64, and shares no code with the room.
"""

import math

import torch
from torch import Tensor

MASSES = (0.50, 0.80, 0.90, 0.95)
EVERYTHING = {"variants": ("distance", "local_mass", "fixed", "topk", "support"), "fixed_k": 8, "top_k": 4}
FIELDS = ("raw", "norm", "distance", "local_mass", "fixed", "topk")
SUPPORTS = ("support_50", "support_80", "support_90", "support_95")


def offsets(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)


def random_qk(
    lengths: list[int], heads: int, key_heads: int, dim: int, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = sum(lengths)
    q = torch.randn(tokens, heads, dim, generator=generator)
    k = torch.randn(tokens, key_heads, dim, generator=generator)
    return q.to(dtype), k.to(dtype)


def adversarial_qk(kind: str, length: int, heads: int, key_heads: int, dim: int) -> tuple[Tensor, Tensor]:
    q, k = random_qk([length], heads, key_heads, dim, seed=7)
    if kind == "huge":
        return q * 100, k * 10
    if kind == "one-hot":
        # Every key is a multiple of one direction, the first far larger: all mass on position 0.
        k = torch.ones_like(k)
        k[0] *= 1000
        return torch.ones_like(q), k
    if kind == "uniform":
        return torch.zeros_like(q), k
    if kind == "identical keys":
        return q, k[:1].expand_as(k)
    if kind == "large common offset":
        return q + 3, k + 30
    if kind == "opposite heads":
        q[:, 1::2] = -q[:, ::2][:, : q[:, 1::2].shape[1]]
        return q * 8, k
    raise AssertionError(kind)


ADVERSARIAL = ("huge", "one-hot", "uniform", "identical keys", "large common offset", "opposite heads")


def mean_rows(q_THD: Tensor, k_TKD: Tensor, scale: float | None = None) -> Tensor:
    """(T, T) head-averaged causal attention of one sequence, float64."""
    length, heads, dim = q_THD.shape
    k_THD = k_TKD.double().repeat_interleave(heads // k_TKD.shape[1], dim=1)
    logits_HTT = torch.einsum("thd,shd->hts", q_THD.double(), k_THD) * (dim**-0.5 if scale is None else scale)
    future_TT = torch.ones(length, length, dtype=torch.bool).triu(1)
    return logits_HTT.masked_fill(future_TT, -math.inf).softmax(-1).mean(0)


def entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum(-1)


def oracle(
    q: Tensor, k: Tensor, lengths: list[int], start: list[int], stop: list[int],
    *, window: int = 32, fixed_k: int = 8, top_k: int = 4, scale: float | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Every statistic of the rows wanted, float64."""
    columns: dict[str, list[Tensor]] = {}
    begin = 0
    for length, first, last in zip(lengths, start, stop, strict=True):
        a_TT = mean_rows(q[begin : begin + length], k[begin : begin + length], scale)
        begin += length
        t = torch.arange(length)
        back_TT = t[:, None] - t[None, :]
        seen_T = t + 1
        raw_T = entropy(a_TT)
        early_TK = a_TT[:, :fixed_k]
        sorted_TT = a_TT.sort(-1, descending=True).values
        rows = {
            "visible": seen_T,
            "raw": raw_T,
            "norm": torch.where(seen_T > 1, raw_T / seen_T.double().log().clamp_min(1e-300), 0.0),
            "distance": (a_TT * back_TT).sum(-1),
            "local_mass": (a_TT * ((back_TT >= 0) & (back_TT < window))).sum(-1),
            "fixed": entropy(early_TK / early_TK.sum(-1, keepdim=True).clamp_min(1e-320)),
            "topk": entropy(sorted_TT[:, :top_k] / sorted_TT[:, :top_k].sum(-1, keepdim=True)),
        }
        for mass, name in zip(MASSES, SUPPORTS, strict=True):
            rows[name] = (sorted_TT.cumsum(-1) < mass - 1e-6).sum(-1) + 1
        for name, value_T in rows.items():
            columns.setdefault(name, []).append(value_T[first:last])
    return {name: torch.cat(values) for name, values in columns.items()}


def assert_close(result: object, expected: dict[str, Tensor], tolerance: float, support_slack: int = 0) -> None:
    """Every statistic of a full result against the oracle; the distance relative to the row's length."""
    assert torch.equal(result.visible, expected["visible"])
    for name in FIELDS:
        value, wanted = getattr(result, name).double(), expected[name]
        allowed = tolerance * (expected["visible"] if name == "distance" else torch.ones(1))
        worst = ((value - wanted).abs() - allowed).max()
        assert worst <= 0, f"{name}: {(value - wanted).abs().max():.2e} from the oracle"
    for name in SUPPORTS:
        assert (getattr(result, name) - expected[name]).abs().max() <= support_slack, name


def assert_in_range(result: object) -> None:
    """0 <= H <= ln N exactly, not nearly."""
    log_n = result.visible.double().log()
    assert (result.raw >= 0).all()
    assert (result.raw.double() <= log_n).all()
    assert (result.norm >= 0).all()
    assert (result.norm <= 1).all()


def low_precision(q: Tensor, k: Tensor) -> Tensor:
    """Raw entropy of one sequence with every tensor in q's own dtype: the yardstick of the flash-attention rule."""
    length, heads, dim = q.shape
    k = k.repeat_interleave(heads // k.shape[1], dim=1)
    logits = torch.einsum("thd,shd->hts", q, k) * dim**-0.5
    logits = logits.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), -math.inf)
    a = logits.softmax(-1).mean(0)
    return torch.special.entr(a).sum(-1).double()
