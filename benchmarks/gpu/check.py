"""The Triton kernels against the float64 definition, both on the device: the worst error and the promised one, nats.

Knows the public functions of tokenspectrum.entropy.  Knows no kernel.
"""

from collections.abc import Iterator

import torch

from tokenspectrum.entropy import attention_entropy, predictive_entropy

PROMISED = {torch.float32: 2e-5, torch.bfloat16: 1e-3, torch.float16: 1e-3}
# (query heads, key heads, width of a head), lengths of packed sequences, rows of each that are compared.
ATTENTION = {"cuda": ((32, 8, 128), (1, 129, 700, 2048), 64), "cpu": ((4, 2, 32), (1, 33, 50), 16)}
# Tokens, hidden size, vocabulary.
PREDICTIVE = {"cuda": (256, 1024, 151_936), "cpu": (8, 32, 301)}


def measure(device: str) -> Iterator[dict[str, object]]:
    """A row a dtype and kernel, the log-sum-exp given or not."""
    for dtype, promised in PROMISED.items():
        name = str(dtype).removeprefix("torch.")
        for what, error in (attention(device, dtype), predictive(device, dtype)):
            yield {"what": f"{what} {name}", "error": f"{error:.3g}", "promised": promised}
            if error > promised:
                raise SystemExit(f"{what} {name} on {device}: an error of {error:.3g} nats, promised are {promised}")


def attention(device: str, dtype: torch.dtype) -> tuple[str, float]:
    """The largest error of the entropy of the last rows of each sequence."""
    (heads, key_heads, dim), lengths, rows = ATTENTION[device]
    total, offsets = sum(lengths), torch.tensor([0, *lengths]).cumsum(0)
    q = torch.randn(total, heads, dim, device=device).to(dtype)
    k = torch.randn(total, key_heads, dim, device=device).to(dtype)
    options = {"cu_seqlens": offsets, "query_start": [max(0, n - rows) for n in lengths]}
    found = attention_entropy(q, k, backend="triton", variants=("distance", "local_mass"), **options)
    wanted = attention_entropy(q, k, backend="reference", **options)
    assert found.backend == "triton"
    return "attention entropy", float((found.raw.double() - wanted.raw).abs().max())


def predictive(device: str, dtype: torch.dtype) -> tuple[str, float]:
    """The largest error of entropy and log-probability."""
    tokens, hidden, vocabulary = PREDICTIVE[device]
    h = torch.randn(tokens, hidden, device=device).to(dtype)
    w = (torch.randn(vocabulary, hidden, device=device) * hidden**-0.5).to(dtype)
    y = torch.randint(0, vocabulary, (tokens,), device=device)
    found = predictive_entropy(h, w, y, backend="triton")
    wanted = predictive_entropy(h, w, y, backend="reference")
    pairs = ((found.entropy, wanted.entropy), (found.logprob, wanted.logprob))
    return "predictive entropy", max(float((a.double() - b.double()).abs().max()) for a, b in pairs)
