"""Queries and keys of chosen layers of an unmodified Hugging Face decoder, taken while it runs its forward pass.

transformers' attention interface has an entry for each attention implementation (sdpa, eager, flash attention).  Within
a `with` block the model's entry is replaced.  The new one keeps q and k of the chosen layers, after the rotary
embedding, and then calls the original.  The model and its config are not changed, so masks, gradient checkpointing and
outputs stay the same.  This module does not know what q and k are used for.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

# Arguments of an attention call that change its logits or its softmax.  Then q and k alone would give wrong rows.
UNSUPPORTED = ("softcap", "s_aux", "position_bias")


@dataclass(frozen=True)
class LayerCapture:
    """What one layer attended with.  B sequences, T tokens, H heads, K key heads, D head dimension."""

    q: Tensor
    """(B, T, H, D) queries after the rotary embedding, detached; a view of the model's own tensor."""
    k: Tensor
    """(B, T, K, D) keys after the rotary embedding, detached."""
    scale: float
    """Factor of the logits."""


@dataclass
class Capture:
    """q and k of the chosen layers in the latest forward pass, by layer index."""

    layers: tuple[int, ...]
    captured: dict[int, LayerCapture] = field(default_factory=dict)

    def __getitem__(self, layer: int) -> LayerCapture:
        if layer not in self.captured:
            raise KeyError(f"layer {layer} is not here: layers {list(self.layers)} are, once a forward pass has run")
        return self.captured[layer]

    def packed(self, layer: int, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q (N, H, D), k (N, K, D) and cu_seqlens (B + 1) of a padded batch without its padding, left or right.

        Args:
            layer: one of the chosen layers.
            attention_mask: (B, T), 1 for tokens and 0 for padding, as the model got it.
        """
        q_BTHD, k_BTKD = self[layer].q, self[layer].k
        if attention_mask.shape != q_BTHD.shape[:2]:
            shapes = f"{tuple(attention_mask.shape)} does not fit the captured {tuple(q_BTHD.shape[:2])}"
            raise ValueError(f"layer {layer}: attention_mask of shape {shapes}")
        kept_BT = attention_mask.bool()
        offsets = nn.functional.pad(kept_BT.sum(1).cumsum(0), (1, 0))
        return q_BTHD[kept_BT], k_BTKD[kept_BT], offsets

    def gathered(self, layer: int, places_N: Tensor) -> tuple[Tensor, Tensor, float]:
        """q (N, H, D), k (N, K, D) and the scale, at places of the flat (B, T)."""
        found, length = self[layer], self[layer].q.shape[1]
        rows_N, columns_N = (places_N // length).to(found.q.device), (places_N % length).to(found.q.device)
        return found.q[rows_N, columns_N], found.k[rows_N, columns_N], found.scale

    def clear(self) -> None:
        """Drop q and k, so that their memory can be freed within the block."""
        self.captured.clear()


@contextmanager
def capture_attention(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[Capture]:
    """Capture q and k of `layers` in every forward pass within the block.  At its end everything is as before.

    Args:
        model: a decoder of transformers whose attention goes through its attention interface (Qwen, Llama, Mistral
            and most others), under sdpa, eager or flash attention, in train or eval mode, padded or packed.
        layers: 0-based layer indices.

    Yields:
        Capture: after a forward pass without a cache of earlier tokens, `capture[layer].q`, `.k` and `.scale`.

    Raises:
        ValueError: a layer that the model lacks. From a forward pass within the block: attention that is not causal, a
            sliding window or chunk shorter than the input (a longer one changes nothing and is accepted), logits that q
            and k alone do not give (soft cap, sinks, position bias), a pass that goes on from a cache, or a layer that
            does not call the attention interface (linear attention, or an older model's own code).
    """
    modules = _attention_modules(model, layers)
    capture = Capture(tuple(layers))
    name = model.config.get_text_config()._attn_implementation
    interface = AttentionInterface()
    # "eager" has no entry.  transformers then uses the function in the model's own file.
    original = interface.get(name)
    AttentionInterface.register(name, _capturing(capture, modules, original))
    check = model.get_decoder().register_forward_hook(lambda *_: _check_complete(capture))
    try:
        yield capture
    finally:
        check.remove()
        if original is None:
            del AttentionInterface._global_mapping[name]
        else:
            AttentionInterface.register(name, original)


def _attention_modules(model: PreTrainedModel, layers: Sequence[int]) -> dict[int, int]:
    """Layer index of each chosen attention module, by the module's identity."""
    decoder = model.get_decoder()
    count = model.config.get_text_config().num_hidden_layers
    for layer in layers:
        if not 0 <= layer < count:
            raise ValueError(f"capture_attention: the model has layers 0 to {count - 1}, not {layer}")
    return {id(m): m.layer_idx for m in decoder.modules() if getattr(m, "layer_idx", None) in layers}


def _check_complete(capture: Capture) -> None:
    missing = [layer for layer in capture.layers if layer not in capture.captured]
    if missing:
        raise ValueError(
            f"layers {missing} do not call transformers' attention interface (linear attention, or an older "
            "model's own code), so their queries and keys cannot be captured"
        )


def _capturing(capture: Capture, modules: dict[int, int], original: Callable | None) -> Callable:
    """The attention function that keeps q and k of `modules` and leaves all others alone."""

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        layer = modules.get(id(module))
        if layer is not None:
            _refuse(layer, module, query, key, attention_mask, kwargs)
            scale = kwargs.get("scaling")
            capture.captured[layer] = LayerCapture(
                q=query.detach().transpose(1, 2),
                k=key.detach().transpose(1, 2),
                scale=query.shape[-1] ** -0.5 if scale is None else scale,
            )
        function = original or sys.modules[type(module).__module__].eager_attention_forward
        return function(module, query, key, value, attention_mask, **kwargs)

    return attention


def _refuse(layer: int, module: nn.Module, query: Tensor, key: Tensor, mask: Any, kwargs: dict[str, Any]) -> None:
    """Raise if the rows of this layer are not the causal softmax of q and k."""
    length = query.shape[2]
    if key.shape[2] != length:
        raise ValueError(f"layer {layer}: the forward pass goes on from a cache; run the whole sequence at once")
    causal = kwargs.get("is_causal")
    if not (getattr(module, "is_causal", True) if causal is None else causal) or _sees_ahead(mask, length):
        raise ValueError(f"layer {layer} is not causal: its attention entropy is not defined here")
    kind, window = _window(layer, module, kwargs)
    if window is not None and window < length:
        raise ValueError(
            f"layer {layer} sees a {kind} of {window} positions but the input has {length}: "
            "choose a full-attention layer or shorter sequences"
        )
    for name in UNSUPPORTED:
        if kwargs.get(name) is not None:
            raise ValueError(f"layer {layer} uses {name}: q and k alone do not give its attention rows")


def _window(layer: int, module: nn.Module, kwargs: dict[str, Any]) -> tuple[str, int | None]:
    """The name of what limits the positions that a layer sees, and the limit; None for full attention."""
    if kwargs.get("sliding_window") is not None:
        return "sliding window", kwargs["sliding_window"]
    config = getattr(module, "config", None)
    layer_types = getattr(config, "layer_types", None)
    if layer_types is not None and layer_types[layer] == "sliding_attention":
        return "sliding window", getattr(config, "sliding_window", None)
    if layer_types is not None and layer_types[layer] == "chunked_attention":
        return "chunk", getattr(config, "attention_chunk_size", None)
    return "context", None


def _sees_ahead(mask: Any, length: int) -> bool:
    """Whether a (B, 1, T, T) mask, boolean or additive, lets a query see a later key."""
    if not isinstance(mask, Tensor) or mask.dim() != 4:
        return False
    allowed_BTT = mask[:, 0] if mask.dtype == torch.bool else mask[:, 0] > torch.finfo(mask.dtype).min / 2
    return bool(allowed_BTT[:, :length, :length].triu(1).any())
