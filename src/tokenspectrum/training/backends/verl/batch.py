"""Put responses and weights into the rows that verl's actor takes, and bring its answers back into our order.

verl divides a mini-batch's loss by its valid tokens N over all ranks.  l_t is homogeneous in A, also with the dual
clip.  So verl gets the advantage A_t w_t N / D, and its quotient is then sum_t w_t l_t / D.  With verl's own loss this
is exact for both denominators.  Knows verl's field names and its nested tensors.  Imports nothing of verl.

Legend: R responses, N their tokens in order, B rows as verl gets them, with padding rows and in another order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from tokenspectrum.rollout.types import Response
from tokenspectrum.training.backends.verl.request import RESPONSE
from tokenspectrum.training.batch import flat_tokens, response_lengths
from tokenspectrum.training.dapo import token_denominator
from tokenspectrum.training.record import MiniBatch

# A padding row has a prompt too, since verl needs one.  Its masks are 0, so it is in no loss and in no count.
_PADDING = Response("", 0, (0,), (0,), (0.0,), "length")


@dataclass(frozen=True)
class Rows:
    """Rows for verl: each data-parallel rank has equally many consecutive rows, with about equally many tokens.

    fields      name -> jagged nested tensor of B rows
    response_B  int64: the response in each row, -1 in a padding row
    lengths_R   int64: tokens of each response
    """

    fields: dict[str, torch.Tensor]
    response_B: torch.Tensor
    lengths_R: torch.Tensor


def measure_rows(responses: Sequence[Response], ranks: int) -> Rows:
    """What verl's compute_log_prob needs of `responses`: prompts, responses, input_ids, position_ids and masks."""
    lengths_R = response_lengths(responses)
    response_B = _deal([len(r.prompt_token_ids) + len(r.token_ids) for r in responses], ranks)
    rows = [responses[r] if r >= 0 else _PADDING for r in response_B.tolist()]
    prompt_B = torch.tensor([len(row.prompt_token_ids) for row in rows])
    length_B = torch.tensor([len(row.token_ids) for row in rows])
    # Flat: prompt, response, prompt, response, and so on.
    ids = [np.array(part, dtype=np.int64) for row in rows for part in (row.prompt_token_ids, row.token_ids)]
    whole_B = prompt_B + length_B
    start_B = whole_B.cumsum(0) - whole_B
    mask = _jagged((response_B >= 0).long().repeat_interleave(length_B), length_B)
    fields = {
        "prompts": _jagged(torch.from_numpy(np.concatenate(ids[::2])), prompt_B),
        "responses": _jagged(torch.from_numpy(np.concatenate(ids[1::2])), length_B),
        "input_ids": _jagged(torch.from_numpy(np.concatenate(ids)), whole_B),
        "position_ids": _jagged(torch.arange(int(whole_B.sum())) - start_B.repeat_interleave(whole_B), whole_B),
        "response_mask": mask,
        "loss_mask": mask,
    }
    return Rows(fields, response_B, lengths_R)


def update_rows(batch: MiniBatch, ranks: int) -> Rows | None:
    """What verl's update_actor needs of one mini-batch; None where D = 0: no step is taken."""
    advantage_N = scaled_advantage(batch)
    if advantage_N is None:
        return None
    rows = measure_rows(batch.responses, ranks)
    # Jagged like the other fields, because verl itself divides the rows into micro-batches.
    rows.fields[RESPONSE] = _jagged(rows.response_B.clone(), torch.ones_like(rows.response_B))
    rows.fields["old_log_probs"] = spread(batch.old_logprob_N, rows)
    rows.fields["advantages"] = spread(advantage_N, rows)
    return rows


def scaled_advantage(batch: MiniBatch) -> torch.Tensor | None:
    """float32 N: A w rho N / D, computed in float64; None if D = 0."""
    total = token_denominator(batch.weight_N, batch.denominator)
    if total == 0:
        return None
    return (batch.advantage_N.double() * batch.factor_N.double() * (len(batch.weight_N) / total)).float()


def measure_info() -> dict[str, Any]:
    """The further arguments of compute_log_prob: log-probabilities and entropies at temperature 1, no loss."""
    return {"temperature": 1.0, "calculate_entropy": True, "compute_loss": False}


def update_info(rows: Rows) -> dict[str, Any]:
    """The further arguments of update_actor: these rows are one mini-batch, taken once and in this order.

    The temperature is that of old_log_probs.  It is 1 for any sampling temperature.
    """
    return {
        "temperature": 1.0,
        "calculate_entropy": False,
        "global_batch_size": len(rows.response_B),
        "mini_batch_size": len(rows.response_B),
        "epochs": 1,
        "seed": 0,
        "dataloader_kwargs": {"shuffle": False},
    }


def spread(value_N: torch.Tensor, rows: Rows) -> torch.Tensor:
    """`value_N` (tokens in the responses' order) as a jagged tensor of the responses' rows; 0 in padding rows."""
    mask = rows.fields["response_mask"]
    value = value_N.new_zeros(len(mask.values()))
    value[mask.values() > 0] = value_N[flat_tokens(rows.response_B[rows.response_B >= 0], rows.lengths_R)]
    return torch.nested.nested_tensor_from_jagged(value, _offsets(mask))


def gather(value: torch.Tensor, rows: Rows, alignment: str = "decision") -> torch.Tensor:
    """N values in the responses' order, from what verl computes at every position of prompt and response.

    `decision` takes a token's value at the position that emits it, where log-probabilities always are.  `token` takes
    it at the token's own position.
    """
    row_R = torch.empty_like(rows.lengths_R)
    real_B = rows.response_B >= 0
    row_R[rows.response_B[real_B]] = real_B.nonzero()[:, 0]
    end_R = _offsets(value)[1:][row_R].cpu()
    first_R = end_R - rows.lengths_R - int(alignment == "decision")
    before_R = rows.lengths_R.cumsum(0) - rows.lengths_R
    at_N = torch.arange(int(rows.lengths_R.sum())) + (first_R - before_R).repeat_interleave(rows.lengths_R)
    return value.values().cpu()[at_N]


def _offsets(jagged: torch.Tensor) -> torch.Tensor:
    """Where each row begins, and the end; torch's stubs do not have this method of a jagged tensor."""
    return cast(Any, jagged).offsets()


def _deal(lengths: Sequence[int], ranks: int) -> torch.Tensor:
    """int64 B: the response in each row, one rank's rows after another's.

    The longest responses are dealt first, in the order of ranks 0, 1, ..., 1, 0, so that all ranks finish together.
    A single rank keeps the given order.  -1 is a padding row, so that all ranks have equally many rows.
    """
    order = list(range(len(lengths)))
    if ranks > 1:
        order.sort(key=lambda r: (-lengths[r], r))
    order += [-1] * (-len(order) % ranks)
    rounds = [order[i : i + ranks] for i in range(0, len(order), ranks)]
    hands = zip(*(part[:: -1 if i % 2 else 1] for i, part in enumerate(rounds)), strict=True)
    return torch.tensor([r for hand in hands for r in hand], dtype=torch.int64)


def _jagged(values: torch.Tensor, length_B: torch.Tensor) -> torch.Tensor:
    """Rows of the given lengths, cut from `values` one after the other."""
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), length_B.cumsum(0)])
    return torch.nested.nested_tensor_from_jagged(values, offsets)
