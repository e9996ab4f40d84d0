"""The public functions of attention entropy: they check the input, pick a backend and return one frozen result."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenspectrum.entropy.backends import pick_backend
from tokenspectrum.entropy.chunked import Block, chunked_entropy, head_mean_rows, logit_limits, needs_float64
from tokenspectrum.entropy.inputs import PerSequence, Problem, check_options, make_problem
from tokenspectrum.entropy.reference import reference_entropy, reference_row
from tokenspectrum.entropy.rows import clamp_entropy, renormalised_entropy
from tokenspectrum.entropy.types import AttentionEntropy, Options
from tokenspectrum.row_statistics import STATISTICS

# Mass of the first K positions below which float32 probabilities are too coarse to be renormalised.
LEAST_MASS = 1e-25


@torch.no_grad()
def attention_entropy(
    q: Tensor,
    k: Tensor,
    *,
    cu_seqlens: Tensor | Sequence[int] | None = None,
    query_start: PerSequence | None = None,
    query_stop: PerSequence | None = None,
    scale: float | None = None,
    lse: Tensor | None = None,
    causal: bool = True,
    variants: Sequence[str] = (),
    local_window: int = 32,
    fixed_k: int | None = None,
    top_k: int | None = None,
    backend: str = "auto",
) -> AttentionEntropy:
    """Entropy of the head-averaged causal attention row of chosen queries.

    For the query at position p of its sequence, which sees the N = p + 1 positions j <= p:
    a_j = mean_h softmax_j(scale q_h . k_j); H_raw = -sum_j a_j ln a_j; H_norm = H_raw / ln N (0 where N = 1).
    Heads are averaged FIRST. The mean of the heads' own entropies would be a smaller number.

    Args:
        q: (N, H, D) packed, or (B, T, H, D) batched; after the rotary embedding. float16, bfloat16, float32, float64.
        k: (N, K, D) or (B, T, K, D). H is a multiple of K: query head h reads key head h // (H / K).
        cu_seqlens: (B + 1) offsets of packed sequences, from 0 to N; None means one sequence. In batched input every
            row is a sequence of length T. Rows before right padding do not see it. `query_stop` leaves out its own.
        query_start: first query position wanted in each sequence (one int for all, or one each); default 0.
        query_stop: one past the last position wanted; default the sequence's length. Take a response of T tokens after
            P prompt tokens. The query at P + t - 1 emits its token t: alignment "decision" has query_start P - 1 and
            query_stop P + T - 1. The query at P + t reads that token: alignment "token" has P and P + T.
        scale: factor of the logits; default D ** -0.5.
        lse: natural log-sum-exp of the scaled visible logits, float32, (H, N) packed or (B, H, T) batched. Flash
            attention returns it. If it is given, it is not computed again.
        causal: must be True; other masks are refused.
        variants: any of "distance", "local_mass", "fixed" (computed in the same pass as the entropy), "topk", "support"
            (these two sort each row). All are declared in row_statistics.py.
        local_window: how many positions count as local; the query's own is one of them.
        fixed_k: K of "fixed", which uses the first K visible positions.
        top_k: k of "topk", which uses the k largest probabilities.
        backend: "auto" (triton on a GPU where it can run, else torch), "reference" (float64, slow), "torch", "triton".
            triton passes the work to torch in float64 in two cases: float64 inputs, and |q| |k| scale so large that
            float32 sums would miss the promised error. The result names the backend that did the work.

    Returns:
        AttentionEntropy: one entry a row, sequences in order, float32 (float64 for float64 inputs or the reference).
        Memory beyond q and k is a tile and O(rows). No gradient flows.

    Raises:
        ValueError, TypeError: mismatched heads, shapes, devices or dtypes, an empty sequence, NaN or infinity (named by
            sequence and head), an unknown variant or one without its parameter, causal=False.
        RuntimeError: the backend cannot run here. The message says why, and which backend can.
    """
    if not causal:
        raise ValueError("attention_entropy knows causal attention only: other masks are refused (causal=False)")
    problem = make_problem(q, k, cu_seqlens, query_start, query_stop, scale, lse)
    options = check_options(variants, local_window, fixed_k, top_k)
    chosen = pick_backend(backend, q.device)
    limits = logit_limits(problem)
    if chosen == "triton" and any(needs_float64(q.dtype, limit) for limit in limits):
        chosen = "torch"
    if chosen == "reference":
        stats = reference_entropy(problem, options)
    elif chosen == "torch":
        stats = chunked_entropy(problem, options, limits)
    else:
        from tokenspectrum.entropy.fused import fused_entropy

        stats = fused_entropy(problem, options)
    if "fixed_mass" in stats:
        _mend_fixed(stats, problem, options)
    return _result(stats, problem, options, chosen)


@torch.no_grad()
def attention_rows(
    q: Tensor,
    k: Tensor,
    queries: Tensor | Sequence[tuple[int, int]],
    *,
    cu_seqlens: Tensor | Sequence[int] | None = None,
    scale: float | None = None,
    lse: Tensor | None = None,
    backend: str = "auto",
) -> list[Tensor]:
    """The whole head-averaged attention rows of chosen queries (attention maps).

    Args:
        q, k, cu_seqlens, scale, lse: as in `attention_entropy`.
        queries: (R, 2) pairs (sequence, position within it), in any order.
        backend: "auto", "torch" or "reference".

    Returns:
        R tensors. The row of position p holds p + 1 probabilities that sum to 1; float32 (float64 for float64
        inputs or the reference).

    Raises:
        ValueError, TypeError: as in `attention_entropy`, and for a query outside its sequence.
    """
    problem = make_problem(q, k, cu_seqlens, None, None, scale, lse)
    pairs = [(int(b), int(p)) for b, p in (queries.tolist() if isinstance(queries, Tensor) else queries)]
    for b, p in pairs:
        if not (0 <= b < len(problem.start) and 0 <= p < problem.stop[b]):
            raise ValueError(f"attention_rows: there is no position {p} of sequence {b}")
    limits = logit_limits(problem)
    if backend == "reference":
        return [reference_row(problem, b, p) for b, p in pairs]
    if backend not in ("auto", "torch"):
        raise ValueError(f"attention_rows: backend must be auto, torch or reference, got {backend!r}")
    dtype = torch.promote_types(q.dtype, torch.float32)
    rows = (head_mean_rows(problem, Block((b,), (p,), (p + 1,)), limits)[0] for b, p in pairs)
    return [row_bRS[0, 0].to(dtype) for row_bRS in rows]


def _mend_fixed(stats: dict[str, Tensor], problem: Problem, options: Options) -> None:
    """Compute the fixed-K entropy again in float64, for rows whose first K positions hold almost no mass.

    float32 loses digits of so small a mass to underflow, and the division by it would show that. Ordinary rows do not
    need this.
    """
    weak = (stats.pop("fixed_mass") < LEAST_MASS).nonzero().squeeze(1).tolist()
    positions, sequences = problem.positions().tolist(), problem.sequences().tolist()
    for b in sorted({sequences[row] for row in weak}):
        tokens = slice(problem.offset[b], problem.offset[b + 1])
        q, k = problem.q_NHD[tokens].double(), problem.k_NKD[tokens].double()
        rows = [row for row in weak if sequences[row] == b]
        exact = attention_rows(q, k, [(0, positions[row]) for row in rows], scale=problem.scale, backend="torch")
        for row, a_S in zip(rows, exact, strict=True):
            stats["fixed"][row] = renormalised_entropy(a_S[None, : options.fixed_k])[0]


def _result(stats: dict[str, Tensor], problem: Problem, options: Options, backend: str) -> AttentionEntropy:
    visible = problem.positions() + 1
    if not len(visible):
        dtype = torch.promote_types(problem.q_NHD.dtype, torch.float32)
        found = [s for s in STATISTICS if s.variant is None or s.variant in options.variants]
        empty = {
            s.slot: visible.clone() if s.counts else torch.empty(0, dtype=dtype, device=visible.device) for s in found
        }
        return AttentionEntropy(visible=visible, backend=backend, **empty)
    # Rounding must not push a result out of its range.
    raw = clamp_entropy(stats.pop("raw"), visible)
    norm = (raw / visible.to(raw.dtype).log()).clamp_(max=1.0).masked_fill_(visible == 1, 0.0)
    if "fixed" in stats:
        stats["fixed"] = clamp_entropy(stats["fixed"], visible.clamp_max(options.fixed_k))
    if "topk" in stats:
        stats["topk"] = clamp_entropy(stats["topk"], visible.clamp_max(options.top_k))
    if "distance" in stats:
        stats["distance"] = stats["distance"].clamp_min_(0.0)
    if "local_mass" in stats:
        stats["local_mass"] = stats["local_mass"].clamp_(0.0, 1.0)
    return AttentionEntropy(raw=raw, norm=norm, visible=visible, backend=backend, **stats)
