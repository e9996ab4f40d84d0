"""The definition in float64: every backend is tested against it.

It computes one row at a time and shows every step of the equations, so it is slow on purpose.
`a_tj = mean_h softmax_j(scale q_th . k_j)` over j <= t, averaged over heads FIRST; then H = -sum_j a_tj ln a_tj.
"""

import torch
from torch import Tensor

from tokenspectrum.entropy.inputs import Problem
from tokenspectrum.entropy.rows import SortedRows
from tokenspectrum.entropy.types import Options
from tokenspectrum.row_statistics import STATISTICS, SUPPORT_MASSES


def reference_row(problem: Problem, sequence: int, position: int) -> Tensor:
    """(N_t,) float64: the head-averaged attention row of one query."""
    begin = problem.offset[sequence]
    q_HD = problem.q_NHD[begin + position].double()
    k_SKD = problem.k_NKD[begin : begin + position + 1].double()
    k_SHD = k_SKD.repeat_interleave(problem.groups, dim=1)
    logits_HS = torch.einsum("hd,shd->hs", q_HD, k_SHD) * problem.scale
    if problem.lse_HN is None:
        return torch.softmax(logits_HS, dim=1).mean(0)
    a_S = torch.exp(logits_HS - problem.lse_HN[:, begin + position, None].double()).mean(0)
    return a_S / a_S.sum()


def reference_entropy(problem: Problem, options: Options) -> dict[str, Tensor]:
    """Every statistic asked for, (Q,) float64 (int64 for support sizes)."""
    rows = [
        _statistics(reference_row(problem, b, p), options)
        for b, (start, stop) in enumerate(zip(problem.start, problem.stop, strict=True))
        for p in range(start, stop)
    ]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _entropy(a_S: Tensor) -> Tensor:
    positive = a_S[a_S > 0]
    return -(positive * positive.log()).sum()


def _statistics(a_S: Tensor, options: Options) -> dict[str, Tensor]:
    seen = len(a_S)
    distance_S = torch.arange(seen - 1, -1, -1, dtype=a_S.dtype, device=a_S.device)
    out = {"raw": _entropy(a_S)}
    if "distance" in options.variants:
        out["distance"] = (a_S * distance_S).sum()
    if "local_mass" in options.variants:
        out["local_mass"] = a_S[max(seen - options.local_window, 0) :].sum()
    if "fixed" in options.variants:
        first_S = a_S[: options.fixed_k]
        out["fixed"] = _entropy(first_S / first_S.sum()) if first_S.sum() > 0 else first_S.sum()
    descending_S = a_S.sort(descending=True).values
    if "topk" in options.variants:
        largest_S = descending_S[: options.top_k]
        out["topk"] = _entropy(largest_S / largest_S.sum())
    if "support" in options.variants:
        cumulative_S = descending_S.cumsum(0) / descending_S.sum()
        for mass in SUPPORT_MASSES:
            # The same tolerance as support_size: a share that is met exactly counts as reached.
            out[f"support_{round(mass * 100)}"] = (cumulative_S < mass - 1e-6).sum() + 1
    for statistic in STATISTICS:
        if statistic.whole and statistic.variant in options.variants and statistic.slot not in out:
            out[statistic.slot] = statistic.whole(SortedRows(descending_S[None]), options)[0]
    return out


def reference_predictive(
    hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor, temperature: float, bias_V: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(logprob_N, entropy_N) in float64 from all logits at once."""
    logits_NV = hidden_ND.double() @ weight_VD.double().T
    if bias_V is not None:
        logits_NV = logits_NV + bias_V.double()
    logp_NV = torch.log_softmax(logits_NV / temperature, dim=1)
    entropy_N = -torch.special.xlogy(logp_NV.exp(), logp_NV.exp()).sum(1)
    return logp_NV.gather(1, target_N[:, None]).squeeze(1), entropy_N
