"""verl's FSDP engine, which also returns attention statistics of chosen layers with the old log-probabilities.

Every worker loads it through actor_rollout_ref.model.external_lib, and VERL_ENGINE_VENDOR chooses it.  Queries and keys
come from the actor's own forward pass.  They are captured at transformers' attention interface, and no model is edited.
Knows verl's micro-batches.  Knows no rewards, no rules and no files.
"""

import itertools
from typing import Any

import torch
from torch import Tensor

from tokenspectrum.entropy import attention_entropy, attention_rows
from tokenspectrum.policy.capture import Capture, capture_attention
from tokenspectrum.portable.kernels import install
from tokenspectrum.training.backends.verl.internals import (
    VENDOR,
    EngineRegistry,
    FSDPEngineWithLMHead,
    get_device_name,
    non_tensor,
)
from tokenspectrum.training.backends.verl.request import (
    REQUEST,
    RESPONSE,
    ROW_TOKENS,
    UPDATE,
    AttentionRequest,
    field_name,
    rows_name,
)


@EngineRegistry.register(model_type="language_model", backend=["fsdp", "fsdp2"], device=["cuda", "cpu"], vendor=VENDOR)
class AttentionEngine(FSDPEngineWithLMHead):
    """The engine of verl's actor.  Without a request in the batch it computes what verl's own engine computes."""

    _capture: Capture | None = None
    _request: AttentionRequest | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if get_device_name() == "cpu":
            install()  # the pins came with the environment; the kernels are a process's own
        super().__init__(*args, **kwargs)
        if self.use_ulysses_sp:
            raise ValueError("ulysses_sequence_parallel_size above 1 splits sequences, and with them attention rows")
        self.update_logprobs: dict[int, Tensor] = {}

    def train_batch(self, data: Any, loss_function: Any) -> Any:
        """One optimiser step, at the learning rate that came with the batch; leaves this rank's `update_logprobs`."""
        request = non_tensor(data, UPDATE)
        self.update_logprobs = {}
        if request is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = request.rate
        return super().train_batch(data, loss_function)

    def forward_step(self, micro_batch: Any, loss_function: Any, forward_only: bool) -> tuple[Tensor, dict]:
        request = non_tensor(micro_batch, REQUEST if forward_only else UPDATE)
        if request is None or not forward_only:
            loss, output = super().forward_step(micro_batch, loss_function, forward_only)
            if request is not None:
                self.update_logprobs |= response_logprobs(output["model_output"]["log_probs"], micro_batch)
            return loss, output
        with capture_attention(self.module, request.layers) as capture:
            self._capture, self._request = capture, request
            try:
                return super().forward_step(micro_batch, loss_function, forward_only)
            finally:
                self._capture = self._request = None

    def prepare_model_outputs(
        self, output: Any, output_args: Any, micro_batch: Any, logits_processor_func: Any
    ) -> dict[str, Tensor]:
        answer = super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func)
        if self._capture is not None and self._request is not None:
            answer |= attention_answer(self._capture, self._request, micro_batch)
        return answer


@torch.no_grad()
def response_logprobs(logprob: Any, micro_batch: Any) -> dict[int, Tensor]:
    """float32, by response: what the loss was made of; `logprob` is of whole sequences, shifted by one as verl does."""
    ends, lengths = logprob.offsets()[1:].tolist(), micro_batch["responses"].offsets().diff().tolist()
    value_N, responses = logprob.values().detach().float().cpu(), micro_batch[RESPONSE].values().tolist()
    rows = zip(responses, ends, lengths, strict=True)
    return {r: value_N[end - n - 1 : end - 1] for r, end, n in rows if r >= 0}


@torch.no_grad()
def attention_answer(capture: Capture, request: AttentionRequest, micro_batch: Any) -> dict[str, Tensor]:
    """Jagged tensors of the batch's whole sequences: each statistic at its queries' positions, 0 elsewhere.

    Query P + t - 1 of a sequence belongs to response token t under alignment "decision", query P + t under "token".
    """
    offsets = micro_batch["input_ids"].offsets()
    prompt_B, length_B = (micro_batch[name].offsets().diff().tolist() for name in ("prompts", "responses"))
    shift = -1 if request.alignment == "decision" else 0
    start_B = [p + shift for p in prompt_B]
    stop_B = [s + n for s, n in zip(start_B, length_B, strict=True)]
    begin_B = offsets[:-1].tolist()
    at_N = torch.cat([torch.arange(b + s, b + e) for b, s, e in zip(begin_B, start_B, stop_B, strict=True)]).to(
        offsets.device
    )
    answer: dict[str, Tensor] = {}
    for layer in request.layers:
        q, k = packed(capture, layer, offsets)
        result = attention_entropy(
            q,
            k,
            cu_seqlens=offsets,
            query_start=start_B,
            query_stop=stop_B,
            scale=capture[layer].scale,
            variants=request.variants,
            local_window=request.local_window,
            top_k=request.top_k,
            fixed_k=request.fixed_k,
        )
        for statistic in request.statistics:
            value_N = getattr(result, statistic.slot)
            value_N = value_N.float() if value_N.is_floating_point() else value_N
            value = value_N.new_zeros(int(offsets[-1]))
            value[at_N] = value_N
            answer[field_name(layer, statistic.slot)] = torch.nested.nested_tensor_from_jagged(value, offsets)
        if ROW_TOKENS in micro_batch:
            answer[rows_name(layer)] = _rows(q, k, capture[layer].scale, offsets, start_B, micro_batch[ROW_TOKENS])
    return answer


def packed(capture: Capture, layer: int, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """q (N, H, D) and k (N, K, D) of a micro-batch without padding.  verl may have packed it or padded it."""
    total, q_BTHD, k_BTKD = int(offsets[-1]), capture[layer].q, capture[layer].k
    length_B = offsets.diff()
    if len(q_BTHD) == 1:
        # Packed, or one sequence.  Padding to a round length may follow the tokens.
        return q_BTHD[0, :total], k_BTKD[0, :total]
    mask_BT = torch.arange(q_BTHD.shape[1], device=offsets.device) < length_B[:, None]
    q, k, _ = capture.packed(layer, mask_BT)
    return q, k


def _rows(q: Tensor, k: Tensor, scale: float, offsets: Tensor, start_B: list[int], tokens: Tensor) -> Tensor:
    """Jagged: the wanted attention rows of each sequence, one after the other.  A part of a jagged tensor must not be
    empty, so each sequence starts with a 0.  For the same reason its list of wanted tokens starts with a -1."""
    wanted = [part[1:].tolist() for part in tokens.unbind()]
    queries = [(b, start_B[b] + t) for b, positions in enumerate(wanted) for t in positions]
    found = iter(attention_rows(q, k, queries, cu_seqlens=offsets, scale=scale) if queries else [])
    zero = q.new_zeros(1, dtype=torch.float32)
    parts = [torch.cat([zero, *(row.float() for row in itertools.islice(found, len(ts)))]) for ts in wanted]
    return torch.nested.as_nested_tensor(parts, layout=torch.jagged)
