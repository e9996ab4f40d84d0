"""Rollout engine for any HF causal LM: the model's own forward pass in a loop with a key-value cache.

Prompts are padded on the left.  Each is prefilled once, and its cache is repeated for its samples.  With
`share_prompts` so is what all prompts of a batch begin with; then the padding stands behind it.  Finished rows leave
the batch.  Knows nothing of rewards, tables or training.
"""

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.errors import UserError
from tokenspectrum.policy.positions import check_positions
from tokenspectrum.policy.shareable import check_shareable
from tokenspectrum.rollout.engines.transformers.grouped import grouped_decode
from tokenspectrum.rollout.engines.transformers.kv_cache import SlotCache
from tokenspectrum.rollout.engines.transformers.sampling import draw
from tokenspectrum.rollout.heat import temperatures
from tokenspectrum.rollout.padded import common_beginning, is_worth
from tokenspectrum.rollout.stop import stop_ids
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.systems.side_by_side import side_by_side

_CACHED_LAYERS = {"full_attention", "sliding_attention"}
# When rows leave the batch, every cache is copied.  So finished rows wait until they are this share of the batch.
_COMPACT_SHARE = 0.125


def left_padded(sequences: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask (1 token, 0 padding), both int64 (P, T), every last token in the last column."""
    width = max(map(len, sequences))
    ids_PT = torch.zeros(len(sequences), width, dtype=torch.long)
    mask_PT = torch.zeros(len(sequences), width, dtype=torch.long)
    for i, ids in enumerate(sequences):
        ids_PT[i, width - len(ids) :] = torch.tensor(ids)
        mask_PT[i, width - len(ids) :] = 1
    return ids_PT, mask_PT


class _Sampled:
    """What has been sampled so far: R responses, at most T tokens each."""

    def __init__(self, rows: int, max_tokens: int, stop: frozenset[int]) -> None:
        self.token_RT = np.zeros((rows, max_tokens), np.int64)
        self.logprob_RT = np.zeros((rows, max_tokens), np.float32)
        self.length_R = np.full(rows, max_tokens)
        self.stopped_R = np.zeros(rows, bool)
        self.stop = np.array(sorted(stop))

    def record(self, t: int, alive_B: np.ndarray, token_B: np.ndarray, logprob_B: np.ndarray) -> np.ndarray:
        """Record token t of responses `alive_B`.  Returns which of them go on.  Rows that have ended are ignored."""
        self.token_RT[alive_B, t], self.logprob_RT[alive_B, t] = token_B, logprob_B
        ended = alive_B[np.isin(token_B, self.stop) & ~self.stopped_R[alive_B]]
        self.stopped_R[ended], self.length_R[ended] = True, t + 1
        return ~self.stopped_R[alive_B]

    def response(self, row: int, prompt: Prompt, sample: int) -> Response:
        length = self.length_R[row]
        return Response(
            prompt_id=prompt.prompt_id,
            sample=sample,
            prompt_token_ids=prompt.token_ids,
            token_ids=tuple(self.token_RT[row, :length].tolist()),
            logprobs=tuple(self.logprob_RT[row, :length].tolist()),
            finish_reason="stop" if self.stopped_R[row] else "length",
        )


class TransformersEngine:
    """Samples from a live model: it sees every update of the weights.  See `RolloutEngine` for the protocol."""

    def __init__(
        self, model: Any, tokenizer: Any, *, batch_rows: int = 256, share_prompts: bool = False, processes: int = 1
    ) -> None:
        """`batch_rows`: the most responses that are decoded at once; it bounds memory.

        With `share_prompts`, what the prompts of a batch begin with is prefilled once.  Both change samples by float
        noise only.  `processes` share the batches and change nothing.
        Raises UserError if `share_prompts` is not for this policy.
        """
        config = model.config.get_text_config()
        if kinds := set(getattr(config, "layer_types", None) or ()) - _CACHED_LAYERS:
            raise UserError(f"policy: layers of kind {sorted(kinds)} have no key-value cache; use the vllm engine")
        self.model, self.n_layers = model, config.num_hidden_layers
        self.config = config
        self.stop = stop_ids(getattr(getattr(model, "generation_config", None), "eos_token_id", None), tokenizer)
        self.batch_rows, self.processes = batch_rows, processes
        taken = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in taken else {}
        self._positions = "position_ids" in taken
        self.share_prompts = share_prompts and self._positions
        if self.share_prompts:
            check_shareable(model)

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seed: int, step: int, domain: str = "sample"
    ) -> list[Response]:
        """Responses prompt-major; one prompt's samples share its prefill where they fall into one batch."""
        if empty := [p.prompt_id for p in prompts if not p.token_ids]:
            raise UserError(f"prompt {empty[0]}: no tokens; drop it or check the chat template")
        longest = max((len(p.token_ids) for p in prompts), default=0) + sampling.max_tokens
        check_positions(self.config, longest, "sampling")
        # Sort by length, so that a batch needs little padding.
        order = sorted(range(len(prompts)), key=lambda p: len(prompts[p].token_ids))
        rows = [(p, i) for p in order for i in range(sampling.n)]
        # Batches of equal size: a last one of few rows would cost as many passes as a full one.
        count = -(-len(rows) // self.batch_rows)
        batches = [rows[i * len(rows) // count : (i + 1) * len(rows) // count] for i in range(count)]
        decode = functools.partial(self._decode, prompts, sampling=sampling, seed=seed, step=step, domain=domain)
        out: dict[int, Response] = {}
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode(), grouped_decode(self.model):
                each = side_by_side(decode, batches, min(self.processes, len(batches)))
                for batch, responses in zip(batches, each, strict=True):
                    for (p, i), response in zip(batch, responses, strict=True):
                        out[p * sampling.n + i] = response
        finally:
            self.model.train(training)
        return [out[i] for i in range(len(rows))]

    def _decode(
        self,
        prompts: Sequence[Prompt],
        rows: list[tuple[int, int]],
        sampling: Sampling,
        seed: int,
        step: int,
        domain: str,
    ) -> list[Response]:
        """One batch: `rows` are (index of prompt, sample), rows of a prompt adjacent."""
        device = self.model.device
        used = list(dict.fromkeys(p for p, _ in rows))
        logits_PV, mask_PT, position_P, cache = self._prefill([prompts[p].token_ids for p in used])
        width = mask_PT.shape[1]
        total = width + sampling.max_tokens
        place = {p: i for i, p in enumerate(used)}
        repeat_R = torch.tensor([place[p] for p, _ in rows], device=device)
        cache.select(repeat_R, total)
        # All generated positions are visible, so the mask for the whole decode is known here.
        mask_BT = torch.nn.functional.pad(mask_PT, (0, sampling.max_tokens), value=1)[repeat_R]
        logits_BV, position_B = logits_PV[repeat_R], position_P[repeat_R]

        keys_R = np.array([stream_key(domain, seed, step, prompts[p].prompt_id, i) for p, i in rows], np.uint64)
        sampled = _Sampled(len(rows), sampling.max_tokens, self.stop)
        alive_B = np.arange(len(rows))  # batch row -> response
        for t in range(sampling.max_tokens):
            u_B = torch.from_numpy(uniforms(keys_R[alive_B], np.full(len(alive_B), t))).to(device)
            heat = sampling.heat
            temperature = sampling.temperature if heat is None else temperatures(logits_BV, heat)
            token_B, logprob_B = draw(logits_BV, u_B, temperature, sampling.top_p)
            going_B = sampled.record(t, alive_B, token_B.cpu().numpy(), logprob_B.cpu().numpy())
            if t + 1 == sampling.max_tokens or not going_B.any():
                break
            if (~going_B).mean() >= _COMPACT_SHARE:
                keep = torch.from_numpy(going_B.nonzero()[0]).to(device)
                cache.select(keep, total)
                token_B, mask_BT, position_B = token_B[keep], mask_BT[keep], position_B[keep]
                alive_B = alive_B[going_B]
            position_B = position_B + 1
            logits_BV = self._forward(token_B[:, None], mask_BT[:, : width + t + 1], position_B[:, None], cache)
        return [sampled.response(r, prompts[p], i) for r, (p, i) in enumerate(rows)]

    def _prefill(
        self, sequences: Sequence[tuple[int, ...]]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, SlotCache]:
        """Behind P prompts: their logits (P, V), their mask (P, T), their last positions (P,) and their cache."""
        device, count = self.model.device, len(sequences)
        longest = max(map(len, sequences))
        # Each prompt keeps a token of its own, whose logits are needed.
        shared = min(common_beginning(sequences), min(map(len, sequences)) - 1)
        if not self.share_prompts or not is_worth(shared, shared + count * (longest - shared), count * longest):
            shared = 0
        cache = SlotCache(self.n_layers, longest)
        if shared:
            ids_1T = torch.tensor([sequences[0][:shared]], device=device)
            position_1T = torch.arange(shared, device=device)[None]
            self._forward(ids_1T, torch.ones_like(ids_1T), position_1T, cache)
            cache.select(torch.zeros(count, dtype=torch.int64, device=device), longest)
        ids_PT, mask_PT = left_padded([ids[shared:] for ids in sequences])
        ids_PT, mask_PT = ids_PT.to(device), mask_PT.to(device)
        position_PT = shared + (mask_PT.cumsum(-1) - 1).clamp(min=0)
        mask_PT = torch.nn.functional.pad(mask_PT, (shared, 0), value=1)
        logits_PV = self._forward(ids_PT, mask_PT, position_PT, cache)
        return logits_PV, mask_PT, position_PT[:, -1], cache

    def _forward(
        self, ids_BT: torch.Tensor, mask_BS: torch.Tensor, position_BT: torch.Tensor, cache: SlotCache
    ) -> torch.Tensor:
        """Logits of the last position, (B, V)."""
        positions = {"position_ids": position_BT} if self._positions else {}
        out = self.model(
            input_ids=ids_BT,
            attention_mask=mask_BS,
            past_key_values=cache,
            use_cache=True,
            **positions,
            **self._last_only,
        )
        return out.logits[:, -1]
