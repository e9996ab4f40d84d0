"""Measure the tokens of responses under a policy: log-probability, predictive entropy, attention statistics of layers.

This is the one definition of these numbers.  The tokens stage calls it on the base policy, and the trainers call it at
every step.  Knows models and responses.  Knows no rewards, rules or tables.

Legend: R responses, N response tokens of all responses in order, B rows of a micro-batch, T positions, C hidden size.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from transformers import PreTrainedModel

from tokenspectrum.entropy import attention_entropy, attention_rows, predictive_entropy
from tokenspectrum.errors import UserError
from tokenspectrum.policy.capture import Capture, capture_attention
from tokenspectrum.policy.positions import check_positions
from tokenspectrum.policy.shareable import check_shareable
from tokenspectrum.rollout.padded import MicroBatch, lay_out, micro_batches
from tokenspectrum.rollout.statistics import Alignment, AttentionStatistics, Statistics
from tokenspectrum.rollout.types import Response
from tokenspectrum.row_statistics import STATISTICS, asked, variants
from tokenspectrum.systems.side_by_side import side_by_side

_plain_heads: WeakSet[PreTrainedModel] = WeakSet()  # models that `_check_head` has passed


@torch.no_grad()
def measure_responses(
    model: PreTrainedModel,
    responses: Sequence[Response],
    *,
    layers: Sequence[int],
    alignment: Alignment,
    local_window: int,
    micro_batch: int,
    share_prompts: bool = False,
    top_k: int | None = None,
    fixed_k: int | None = None,
    support: bool = False,
    rows: Sequence[tuple[int, int]] = (),
    report: Callable[[int], None] = lambda done: None,
    processes: int = 1,
) -> Statistics:
    """Statistics of every token of `responses` under `model`, whose mode (train or eval) is kept.

    Take token t of a response after P prompt tokens.  The query at absolute position P + t - 1 emits it.  Its
    log-probability and predictive entropy are always those of this query.  Its attention row is that of this query
    (alignment "decision", P + t positions visible) or that of its own query at P + t ("token", P + t + 1 visible).

    `local_window` counts positions, the query's own included.  `top_k`, `fixed_k` and `support` ask for the optional
    statistics.  `rows` asks for the attention rows of (response index, token position) pairs, at every layer.
    `micro_batch` is the number of responses in one forward pass; with `share_prompts` those of a prompt are one row
    (padded.py).  Both change results by float noise only.  `processes` share the micro-batches and change nothing.
    `report` is called with the number of responses done.
    Raises UserError for an empty response, for one beyond the policy's positions, for hidden states that are not
    finite, for logits that are not the head times the hidden states, and for a layer that is not causal full attention.
    """
    for response in responses:
        if not response.token_ids or not response.prompt_token_ids:
            raise UserError(f"prompt {response.prompt_id}, sample {response.sample}: no tokens, so nothing to measure")
    if responses:
        length, longest = max((len(r.prompt_token_ids) + len(r.token_ids), i) for i, r in enumerate(responses))
        named = f"prompt {responses[longest].prompt_id}, sample {responses[longest].sample}"
        check_positions(model.config.get_text_config(), length, named)
    if alignment not in ("decision", "token"):
        raise ValueError(f"alignment must be decision or token, got {alignment!r}")
    layers, head = tuple(dict.fromkeys(layers)), model.get_output_embeddings()
    options = {
        "variants": variants(asked(top_k, fixed_k, support)),
        "local_window": local_window,
        "top_k": top_k,
        "fixed_k": fixed_k,
    }
    lengths_R = torch.tensor([len(r.token_ids) for r in responses], dtype=torch.int64)
    start_R = lengths_R.cumsum(0) - lengths_R
    parts = micro_batches(responses, micro_batch, share_prompts)

    def of_part(index: list[int]) -> tuple[dict[tuple[int | None, str], np.ndarray], dict[int, dict[int, np.ndarray]]]:
        batch = lay_out(responses, index, model.device, share_prompts)
        with capture_attention(model, layers) as capture:
            hidden_BTC = _hidden(model, batch)
            stats = {(None, name): value_n for name, value_n in _predictive(head, hidden_BTC, batch).items()}
            asked_rows = {}
            for layer in layers:
                attention = _attention(capture, layer, batch, alignment, options)
                stats |= {(layer, name): value_n for name, value_n in attention.items()}
                asked_rows[layer] = _rows(capture, layer, batch, alignment, rows)
        return stats, asked_rows

    flat: dict[tuple[int | None, str], torch.Tensor] = {}
    found_rows: dict[int, dict[int, torch.Tensor]] = {layer: {} for layer in layers}
    training, done = model.training, 0
    model.eval()
    try:
        _check_head(model, head)
        if share_prompts:
            check_shareable(model)
        each = side_by_side(of_part, parts, min(processes, len(parts)))
        for index, (stats, rows_found) in zip(parts, each, strict=True):
            at_n = torch.cat([torch.arange(int(lengths_R[r])) + start_R[r] for r in index])
            for key, array_n in stats.items():
                value_n = torch.from_numpy(array_n)
                flat.setdefault(key, value_n.new_zeros(int(lengths_R.sum())))[at_n] = value_n
            for layer, found in rows_found.items():
                found_rows[layer] |= {i: torch.from_numpy(row) for i, row in found.items()}
            done += len(index)
            report(done)
    finally:
        model.train(training)
    nothing = torch.zeros(0)
    return Statistics(
        lengths_R=lengths_R,
        logprob_N=flat.get((None, "logprob"), nothing),
        predictive_entropy_N=flat.get((None, "entropy"), nothing),
        attention={
            layer: AttentionStatistics(**{name: value_N for (at, name), value_N in flat.items() if at == layer})
            for layer in layers
            if responses
        },
        rows={layer: [found_rows[layer][i] for i in range(len(rows))] for layer in layers},
    )


def longest_context(responses: Sequence[Response], alignment: Alignment) -> int:
    """The most positions that the row of any response token sees."""
    extra = alignment == "token"
    return max(len(r.prompt_token_ids) + len(r.token_ids) - 1 + extra for r in responses)


def check_not_inert(longest: int, top_k: int | None, fixed_k: int | None, section: str) -> None:
    """Refuse a k or K that reaches the longest context (`longest` positions), since it would give the plain entropy."""
    for name, value in {"top_k": top_k, "fixed_k": fixed_k}.items():
        if value is not None and value >= longest:
            raise UserError(
                f"{section}.{name}: {value} reaches the longest context of {longest} positions, so it would change "
                "nothing; lower it"
            )


def _hidden(model: PreTrainedModel, batch: MicroBatch) -> torch.Tensor:
    try:
        hidden_BTC = model.base_model(**batch.inputs(), use_cache=False).last_hidden_state
    except ValueError as e:  # what the capture refuses: a sliding window, a soft cap
        raise UserError(f"policy: {e}") from e
    if not bool(hidden_BTC.isfinite().all()):
        raise UserError("the policy's hidden states are NaN or infinite; check its weights")
    return hidden_BTC


def _predictive(head: torch.nn.Module, hidden_BTC: torch.Tensor, batch: MicroBatch) -> dict[str, np.ndarray]:
    """logprob and entropy at the queries that emit the batch's response tokens."""
    device = hidden_BTC.device
    hidden_nC = hidden_BTC.flatten(0, 1)[batch.queries().to(device)]
    target_n = batch.ids_BT.flatten()[batch.targets().to(device)]
    weight_VC = _weight(head)
    result = predictive_entropy(hidden_nC, weight_VC, target_n, bias=getattr(head, "bias", None))
    limit = math.log(weight_VC.shape[0]) * (1 + 1e-6)
    assert bool((result.logprob <= 0).all()), "a log-probability is above 0"
    assert bool(((result.entropy >= 0) & (result.entropy <= limit)).all()), "an entropy is outside [0, ln V]"
    return {"logprob": _plain(result.logprob), "entropy": _plain(result.entropy)}


def _weight(head: torch.nn.Module) -> torch.Tensor:
    """The weight (V, C) of the output layer."""
    if not isinstance(head.weight, torch.Tensor):
        raise TypeError(f"the output layer {type(head).__name__} has no weight")
    return head.weight


def _attention(
    capture: Capture, layer: int, batch: MicroBatch, alignment: Alignment, options: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Statistics of the rows of the batch's response tokens, by field of AttentionStatistics."""
    first_R = batch.prompt_R + _shift(alignment)
    places, offsets = batch.sequences()
    q, k, scale = capture.gathered(layer, places)
    stop_R = first_R + batch.length_R
    result = attention_entropy(q, k, cu_seqlens=offsets, query_start=first_R, query_stop=stop_R, scale=scale, **options)
    named = {"visible_N": result.visible} | {f"{s.name}_N": getattr(result, s.slot) for s in STATISTICS}
    return {name: _plain(value) for name, value in named.items() if value is not None}


def _rows(
    capture: Capture, layer: int, batch: MicroBatch, alignment: Alignment, rows: Sequence[tuple[int, int]]
) -> dict[int, np.ndarray]:
    """Attention rows of those of `rows` that are in this batch, by their index in `rows`."""
    place = {i: r for r, i in enumerate(batch.index)}
    wanted = {i: (place[r], t) for i, (r, t) in enumerate(rows) if r in place}
    if not wanted:
        return {}
    queries = [(r, int(batch.prompt_R[r]) + t + _shift(alignment)) for r, t in wanted.values()]
    places, offsets = batch.sequences()
    q, k, scale = capture.gathered(layer, places)
    found = attention_rows(q, k, queries, cu_seqlens=offsets, scale=scale)
    return {i: _plain(row) for i, row in zip(wanted, found, strict=True)}


def _shift(alignment: Alignment) -> int:
    return -1 if alignment == "decision" else 0


def _plain(value: torch.Tensor) -> np.ndarray:
    return (value.float() if value.is_floating_point() else value).cpu().numpy()


def _check_head(model: PreTrainedModel, head: torch.nn.Module) -> None:
    """Some models scale or cap what comes out of the head; then hidden states and head alone give other logits."""
    if model in _plain_heads:
        return
    ids_BT = torch.arange(min(4, _weight(head).shape[0]), device=model.device)[None]
    logits_BTV = model(input_ids=ids_BT, use_cache=False).logits.float()
    plain_BTV = head(model.base_model(input_ids=ids_BT, use_cache=False).last_hidden_state).float()
    # equal_nan lets NaN pass, because another check names it.
    if not torch.allclose(logits_BTV, plain_BTV, rtol=1e-2, atol=1e-2, equal_nan=True):
        raise UserError(
            f"policy: {type(model).__name__} changes its logits after the output layer (a scale or a soft cap), "
            "which the scoring does not know; use another policy"
        )
    _plain_heads.add(model)
