"""Log-probability and entropy of the next-token distribution, without ever holding all logits.

The vocabulary is read block by block.  With logits l_v (divided by the temperature) and a running maximum m:
Z = sum exp(l_v - m) and U = sum exp(l_v - m)(l_v - m); then logprob = l_target - m - ln Z and H = ln Z - U / Z.
Shapes: N tokens, D hidden size, V vocabulary, C a block of the vocabulary.
"""

import math

import torch
from torch import Tensor

from tokenspectrum.entropy.backends import pick_backend
from tokenspectrum.entropy.inputs import DTYPES
from tokenspectrum.entropy.reference import reference_predictive
from tokenspectrum.entropy.rows import clamp_entropy
from tokenspectrum.entropy.types import PredictiveEntropy

LOG2_E = math.log2(math.e)
# Size of a tile of logits.  On a CPU it stays in the second-level cache; on a GPU it must keep the device busy.
TILE_CPU, TILE_GPU = 2**18, 2**26
BLOCK_CPU, BLOCK_GPU = 2048, 16384
# Rounding errors of larger logits would show in the entropy.  Such rows are computed in float64.
LIMIT_FLOAT32, LIMIT_HALF = 32.0, 2048.0


@torch.no_grad()
def predictive_entropy(
    hidden: Tensor,
    lm_head_weight: Tensor,
    targets: Tensor,
    temperature: float = 1.0,
    *,
    bias: Tensor | None = None,
    backend: str = "auto",
) -> PredictiveEntropy:
    """Log-probability of each target and entropy of the whole next-token distribution, in one pass.

    p = softmax(hidden @ lm_head_weight.T / temperature); logprob = ln p[target]; entropy = -sum_v p_v ln p_v.

    Args:
        hidden: (N, D) last hidden states (after the final norm), at the queries that emit the targets.
        lm_head_weight: (V, D), same dtype and device. V may be any number.
        targets: (N,) int64 token ids in [0, V).
        temperature: > 0.
        bias: (V,) of the head, if it has one.
        backend: "auto" (triton on a GPU where it can run, else torch), "reference" (float64), "torch", "triton".

    Returns:
        PredictiveEntropy with (N,) logprob <= 0 and 0 <= entropy <= ln V, float32 (float64 for float64 inputs).
        Sums are float32 for 16-bit inputs too. No gradient flows.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices that do not fit, targets outside the vocabulary, a temperature
            that is not positive, NaN or infinity in the logits (the row is named).
        RuntimeError: the backend cannot run here. The message says why, and which backend can.
    """
    _check(hidden, lm_head_weight, targets, temperature, bias)
    chosen = pick_backend(backend, hidden.device)
    if chosen == "reference":
        logprob, entropy = reference_predictive(hidden, lm_head_weight, targets, temperature, bias)
    else:
        logprob, entropy = _fast(hidden, lm_head_weight, targets, temperature, bias, chosen)
    bad = (~torch.isfinite(entropy)).nonzero()
    if len(bad):
        raise ValueError(f"predictive_entropy: NaN or infinity in the logits of row {int(bad[0])}")
    return PredictiveEntropy(logprob.clamp_max(0.0), clamp_entropy(entropy, lm_head_weight.shape[0]), chosen)


def _fast(
    hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor, temperature: float, bias_V: Tensor | None, backend: str
) -> tuple[Tensor, Tensor]:
    """(logprob_N, entropy_N) by float32 sums; by float64 sums for rows whose logits are too large for float32."""
    if backend == "triton" and hidden_ND.dtype != torch.float64:
        from tokenspectrum.entropy.fused import fused_predictive as run
    else:
        run = _chunked
    logprob_N, entropy_N, largest_N = run(hidden_ND, weight_VD, target_N, temperature, bias_V)
    limit = {torch.float64: math.inf, torch.float32: LIMIT_FLOAT32}.get(hidden_ND.dtype, LIMIT_HALF)
    again = (largest_N > limit).nonzero().squeeze(1)
    if len(again):
        bias_V = None if bias_V is None else bias_V.double()
        # The weight is converted block by block: twice its size is much, and seldom all in the cache.
        exact = _chunked(hidden_ND[again].double(), weight_VD, target_N[again], temperature, bias_V)
        logprob_N[again], entropy_N[again] = exact[0].to(logprob_N.dtype), exact[1].to(entropy_N.dtype)
    return logprob_N, entropy_N


def _chunked(
    hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor, temperature: float, bias_V: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """(logprob_N, entropy_N, largest |logit|_N)."""
    on_cpu = hidden_ND.device.type == "cpu"
    block = min(BLOCK_CPU if on_cpu else BLOCK_GPU, weight_VD.shape[0])
    rows = max(1, (TILE_CPU if on_cpu else TILE_GPU) // block)
    # Two tiles for all blocks: a fresh one each would cost its page faults again and again.
    dtype = torch.promote_types(hidden_ND.dtype, torch.float32)
    tiles = hidden_ND.new_empty(2, min(rows, len(hidden_ND)) * block, dtype=dtype)
    parts = [
        _rows(hidden_ND[i : i + rows], weight_VD, target_N[i : i + rows], temperature, bias_V, tiles, block)
        for i in range(0, len(hidden_ND), rows)
    ]
    if not parts:
        empty = hidden_ND.new_empty(0, dtype=torch.promote_types(hidden_ND.dtype, torch.float32))
        return empty, empty.clone(), empty.clone()
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _rows(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    target_N: Tensor,
    temperature: float,
    bias_V: Tensor | None,
    tiles: Tensor,
    block: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same of few rows, block after block of the vocabulary; `tiles` holds two blocks and is overwritten."""
    count, dtype = len(hidden_ND), tiles.dtype
    u_N1 = z_N1 = tiles.new_zeros(count, 1)
    for begin in range(0, len(weight_VD), block):
        width = min(block, len(weight_VD) - begin)
        logit_NC, weight_NC = (tile[: count * width].view(count, width) for tile in tiles)
        _matmul(hidden_ND, weight_VD[begin : begin + width], logit_NC)
        if bias_V is not None:
            logit_NC.add_(bias_V[begin : begin + width].to(dtype))
        if temperature != 1.0:
            logit_NC.div_(temperature)
        here_N1 = logit_NC.gather(1, (target_N - begin).clamp(0, width - 1)[:, None])
        # Not aminmax: along rows it takes some twenty times as long as these two on a CPU.
        low_N1, high_N1 = logit_NC.amin(1, keepdim=True), logit_NC.amax(1, keepdim=True)
        if begin == 0:
            chosen_N1, least_N1, max_N1 = here_N1, low_N1, high_N1
        else:
            chosen_N1 = torch.where((target_N >= begin)[:, None], here_N1, chosen_N1)
            least_N1 = torch.minimum(least_N1, low_N1)
            # Move the sums to the new maximum.
            top_N1 = torch.maximum(max_N1, high_N1)
            drop_N1 = max_N1 - top_N1
            shrink_N1 = drop_N1.exp()
            u_N1 = shrink_N1 * (u_N1 + drop_N1 * z_N1)
            z_N1 = shrink_N1 * z_N1
            max_N1 = top_N1
        logit_NC.sub_(max_N1)
        torch.mul(logit_NC, LOG2_E, out=weight_NC).exp2_()  # several times as fast as exp on a CPU
        u_N1 = u_N1 + logit_NC.mul_(weight_NC).sum(1, keepdim=True)
        z_N1 = z_N1 + weight_NC.sum(1, keepdim=True)
    log_z_N1 = z_N1.log()
    logprob_N1 = (chosen_N1 - max_N1) - log_z_N1
    largest_N1 = torch.maximum(max_N1.abs(), least_N1.abs())
    return tuple(x.squeeze(1) for x in (logprob_N1, log_z_N1 - u_N1 / z_N1, largest_N1))


def _matmul(hidden_ND: Tensor, weight_CD: Tensor, out_NC: Tensor) -> None:
    """hidden @ weight.T into `out_NC`, whose dtype is that of the sums too."""
    dtype = out_NC.dtype
    if hidden_ND.dtype != dtype and hidden_ND.is_cuda:
        torch.mm(hidden_ND, weight_CD.T, out_dtype=dtype, out=out_NC)
    else:
        torch.mm(hidden_ND.to(dtype), weight_CD.to(dtype).T, out=out_NC)


def _check(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float, bias: Tensor | None) -> None:
    for name, x in (("hidden", hidden), ("lm_head_weight", weight)):
        if x.dim() != 2:
            raise ValueError(f"predictive_entropy: {name} must be two-dimensional, got shape {tuple(x.shape)}")
        if x.dtype not in DTYPES:
            raise TypeError(f"predictive_entropy: {name} has dtype {x.dtype}: a floating-point one is needed")
    if hidden.shape[1] != weight.shape[1] or not len(weight):
        raise ValueError(f"predictive_entropy: hidden {tuple(hidden.shape)} does not fit weight {tuple(weight.shape)}")
    if hidden.dtype != weight.dtype:
        raise TypeError(f"predictive_entropy: hidden is {hidden.dtype} but lm_head_weight is {weight.dtype}")
    others = {"lm_head_weight": weight, "targets": targets} | ({} if bias is None else {"bias": bias})
    for name, x in others.items():
        if x.device != hidden.device:
            raise ValueError(f"predictive_entropy: {name} is on {x.device} but hidden is on {hidden.device}")
    if targets.shape != hidden.shape[:1] or targets.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"predictive_entropy: targets must be {len(hidden)} integers, got {tuple(targets.shape)}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"predictive_entropy: bias must be ({len(weight)},), got {tuple(bias.shape)}")
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < len(weight):
        raise ValueError(f"predictive_entropy: a target is outside the vocabulary of {len(weight)} tokens")
    if not 0 < temperature < math.inf:
        raise ValueError(f"predictive_entropy: temperature must be a positive number, got {temperature}")
