"""Turn the answers of verl's actor into our Statistics, so that every trainer logs and weighs the same record.

Knows names of fields and the layout of rows.  Imports nothing of verl.
"""

import math
from collections.abc import Mapping, Sequence

import torch

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.statistics import AttentionStatistics, Statistics
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.backends.verl.batch import Rows, gather
from tokenspectrum.training.backends.verl.request import AttentionRequest, field_name, rows_name
from tokenspectrum.training.dapo import Clip, clipped_loss, importance_ratio
from tokenspectrum.training.record import MiniBatch, Updated

# Rounding in verl's log-sum-exp may put a log-probability or an entropy this far outside its range.  More is an error.
_ROUNDING = {"float32": 1e-4, "bfloat16": 0.1}


def updated_of(batch: MiniBatch, clip: Clip, logprob_N: torch.Tensor, loss: float, norm: float | None) -> Updated:
    """The outcome of an update.  `logprob_N` is of the policy before it.  UserError if a number is not finite."""
    if not math.isfinite(loss):
        raise UserError(f"the loss is {loss}: lower train.learning_rate")
    if norm is not None and not math.isfinite(norm):
        raise UserError(f"the gradient's norm is {norm}: lower train.learning_rate")
    return Updated(
        loss,
        norm,
        importance_ratio(logprob_N, batch.old_logprob_N),
        clipped_loss(logprob_N, batch.old_logprob_N, batch.advantage_N, clip),
    )


def logprobs_of(parts: Sequence[Mapping[int, torch.Tensor]]) -> torch.Tensor:
    """N, in the responses' order, from the answers of the ranks.  Several ranks may hold the same response."""
    of = {r: value for part in parts for r, value in part.items()}
    return torch.cat([of[r] for r in sorted(of)])


def scores_of(
    answer: Mapping[str, torch.Tensor],
    rows: Rows,
    responses: Sequence[Response],
    request: AttentionRequest | None,
    row_tokens: Sequence[tuple[int, int]],
    *,
    vocabulary: int,
    dtype: str,
) -> Statistics:
    """Statistics of the responses in `rows`; `row_tokens` are the (response, token) pairs whose whole rows came back.

    Raises UserError where a log-probability or an entropy is not a number or out of its range.
    """
    logprob_N = gather(answer["log_probs"], rows).float()
    entropy_N = gather(answer["entropy"], rows).float()
    slack = _ROUNDING[dtype]
    if not bool(torch.isfinite(logprob_N).all() & torch.isfinite(entropy_N).all()):
        raise UserError("the policy's log-probabilities are not finite: lower train.learning_rate")
    most = math.log(vocabulary)
    if bool((logprob_N > slack).any() | (entropy_N < -slack).any() | (entropy_N > most + slack).any()):
        raise UserError("verl's log-probabilities or entropies are out of range; is the vocabulary the policy's?")
    attention, found_rows = {}, {}
    if request is not None:
        alignment = request.alignment
        for layer in request.layers:
            of = {s.name: gather(answer[field_name(layer, s.slot)], rows, alignment) for s in request.statistics}
            attention[layer] = AttentionStatistics(
                visible_N=_visible(responses, alignment), **{f"{name}_N": value_N for name, value_N in of.items()}
            )
            if row_tokens:
                found_rows[layer] = _whole_rows(answer[rows_name(layer)], rows, responses, alignment, row_tokens)
    return Statistics(
        lengths_R=rows.lengths_R,
        logprob_N=logprob_N.clamp(max=0.0),
        predictive_entropy_N=entropy_N.clamp(0.0, most),
        attention=attention,
        rows=found_rows,
    )


def row_field(rows: Rows, row_tokens: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Jagged int64 of verl's rows: a -1, and then the tokens of each response whose attention rows are wanted."""
    parts = [[-1] for _ in rows.response_B]
    place = {r: b for b, r in enumerate(rows.response_B.tolist())}
    for r, t in row_tokens:
        parts[place[r]].append(t)
    return torch.nested.as_nested_tensor([torch.tensor(part) for part in parts], layout=torch.jagged)


def _visible(responses: Sequence[Response], alignment: str) -> torch.Tensor:
    extra = int(alignment == "token")
    spans = [(len(r.prompt_token_ids) + extra, len(r.token_ids)) for r in responses]
    return torch.cat([torch.arange(first, first + n) for first, n in spans])


def _whole_rows(
    value: torch.Tensor,
    rows: Rows,
    responses: Sequence[Response],
    alignment: str,
    row_tokens: Sequence[tuple[int, int]],
) -> list[torch.Tensor]:
    """The rows of the wanted tokens, which are given response by response, ascending."""
    place = {r: b for b, r in enumerate(rows.response_B.tolist())}
    parts = [part.cpu() for part in value.unbind()]
    read = dict.fromkeys(place.values(), 1)
    found = []
    for r, t in row_tokens:
        b = place[r]
        n = len(responses[r].prompt_token_ids) + t + int(alignment == "token")
        found.append(parts[b][read[b] : read[b] + n])
        read[b] += n
    return found
