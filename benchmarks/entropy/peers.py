"""The set-ups of the benchmark and who takes part: our backends, what people do today, and the yardsticks.

Every peer is a function without arguments on inputs made here, so time and memory are measured the same way for all.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AutoModelForCausalLM, Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import eager_attention_forward

from tokenspectrum.entropy import attention_entropy, predictive_entropy
from tokenspectrum.entropy.backends import why_no_triton
from tokenspectrum.policy.capture import capture_attention

STREAMING = ("distance", "local_mass")


@dataclass(frozen=True)
class Shape:
    """Attention and vocabulary of a policy."""

    heads: int
    key_heads: int
    dim: int
    hidden: int
    vocabulary: int
    layers: int


SHAPES = {
    "tiny": Shape(4, 2, 32, 64, 181, 4),
    "qwen3-8b": Shape(32, 8, 128, 4096, 151_936, 36),
}
Calls = dict[str, Callable[[], object]]


def attention_peers(shape: Shape, length: int, dtype: torch.dtype, device: str) -> Calls:
    """Raw entropy of one layer, every row of one sequence."""
    q = torch.randn(1, shape.heads, length, shape.dim, device=device).to(dtype)
    k = torch.randn(1, shape.key_heads, length, shape.dim, device=device).to(dtype)
    v = torch.randn_like(k)
    q_THD, k_TKD = q[0].transpose(0, 1), k[0].transpose(0, 1)

    module = SimpleNamespace(num_key_value_groups=shape.heads // shape.key_heads, training=False)
    future = torch.full((1, 1, length, length), torch.finfo(dtype).min, dtype=dtype, device=device).triu(1)

    def eager() -> torch.Tensor:
        attentions = eager_attention_forward(module, q, k, v, future, shape.dim**-0.5)[1]
        mean = attentions.mean(1)
        return -(mean * mean.clamp_min(torch.finfo(dtype).tiny).log()).sum(-1)

    def sdpa() -> torch.Tensor:
        backend = SDPBackend.FLASH_ATTENTION
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    calls: Calls = {"eager": eager, "sdpa": sdpa}
    if device == "cuda" and importlib.util.find_spec("flash_attn") is not None:
        from flash_attn import flash_attn_func

        q_BTHD, k_BTKD, v_BTKD = (x.transpose(1, 2) for x in (q, k, v))
        calls["flash-attn"] = lambda: flash_attn_func(q_BTHD, k_BTKD, v_BTKD, causal=True)
    for backend in ("torch", "triton") if device == "cuda" and runs_triton() else ("torch",):
        calls[backend] = lambda b=backend: attention_entropy(q_THD, k_TKD, backend=b)
        calls[f"{backend}+moments"] = lambda b=backend: attention_entropy(q_THD, k_TKD, backend=b, variants=STREAMING)
        lse = _log_sum_exp(q_THD, k_TKD, device)
        calls[f"{backend}+lse"] = lambda b=backend, lse=lse: attention_entropy(
            q_THD, k_TKD, lse=lse, backend=b, variants=STREAMING
        )
    return calls


def predictive_peers(shape: Shape, tokens: int, dtype: torch.dtype, device: str) -> Calls:
    """Log-probability and entropy of every token's next-token distribution."""
    hidden = torch.randn(tokens, shape.hidden, device=device).to(dtype)
    weight = (torch.randn(shape.vocabulary, shape.hidden, device=device) * shape.hidden**-0.5).to(dtype)
    targets = torch.randint(0, shape.vocabulary, (tokens,), device=device)

    def log_softmax() -> tuple[torch.Tensor, torch.Tensor]:
        logp = (hidden @ weight.T).float().log_softmax(-1)
        return logp.gather(1, targets[:, None]), -(logp.exp() * logp).sum(-1)

    calls: Calls = {"log_softmax": log_softmax}
    for backend in ("torch", "triton") if device == "cuda" and runs_triton() else ("torch",):
        calls[backend] = lambda b=backend: predictive_entropy(hidden, weight, targets, backend=b)
    if device == "cuda" and importlib.util.find_spec("verl") is not None:
        from verl.utils.kernel.linear_cross_entropy import linear_cross_entropy

        calls["verl"] = lambda: linear_cross_entropy(hidden, weight, targets, 1.0, "none")
    if device == "cuda" and importlib.util.find_spec("liger_kernel") is not None:
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

        loss = LigerFusedLinearCrossEntropyLoss(reduction="none")  # of the log-probability alone: no entropy
        calls["liger"] = lambda: loss(weight, hidden, targets)
    return calls


def forward_peers(shape: Shape, length: int, dtype: torch.dtype, device: str) -> Calls:
    """A whole model's forward pass, without and with the attention entropy of one layer."""
    config = Qwen3Config(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=3 * shape.hidden,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.key_heads,
        head_dim=shape.dim, max_position_embeddings=length,
    )  # fmt: skip
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa").eval()
    ids = torch.randint(0, shape.vocabulary, (1, length), device=device)

    @torch.no_grad()
    def plain() -> torch.Tensor:
        return model.base_model(ids, use_cache=False).last_hidden_state

    @torch.no_grad()
    def with_entropy() -> torch.Tensor:
        with capture_attention(model, [shape.layers // 2]) as capture:
            plain()
        layer = capture[shape.layers // 2]
        return attention_entropy(layer.q, layer.k, scale=layer.scale, variants=STREAMING).raw

    return {"forward": plain, "forward+entropy": with_entropy}


def runs_triton() -> bool:
    """Whether the triton backend runs on the GPU here."""
    return why_no_triton(torch.device("cuda")) is None


def _log_sum_exp(q_THD: torch.Tensor, k_TKD: torch.Tensor, device: str) -> torch.Tensor:
    """(H, T) natural log-sum-exp as a flash attention forward would hand it over."""
    if device == "cuda" and runs_triton():
        from tokenspectrum.entropy import fused
        from tokenspectrum.entropy.inputs import make_problem

        return fused.fused_lse(make_problem(q_THD, k_TKD, None, None, None, None, None), fused.LSE_TILE)
    heads, dim = q_THD.shape[1:]
    rows = []
    for head in range(heads):
        logits = (q_THD[:, head] @ k_TKD[:, head * k_TKD.shape[1] // heads].T).float() * dim**-0.5
        rows.append(logits.masked_fill_(torch.ones_like(logits, dtype=torch.bool).triu(1), -torch.inf).logsumexp(-1))
    return torch.stack(rows)
