"""The norm of single tokens' gradients: one reverse pass a token, so of a sample of them.  Knows a model, no table."""

import math
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from tokenspectrum.rollout.types import Response
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.training.backends.local.logprobs import response_logprobs
from tokenspectrum.training.backends.local.padded import collate
from tokenspectrum.training.backends.local.pulls import inner, trained
from tokenspectrum.training.backends.local.sums import each_gradient
from tokenspectrum.training.batch import response_lengths


def token_norms(
    model: PreTrainedModel, responses: Sequence[Response], tokens: Sequence[tuple[int, int]], processes: int = 1
) -> list[float]:
    """|grad log pi(y_t)| of each (response index, position), in their order.  `processes` share the responses."""
    lengths_R, wanted = response_lengths(responses), trained(model)

    def of_response(r: int) -> dict[tuple[int, int], float]:
        logprob_N = response_logprobs(model, collate(responses, torch.tensor([r]), lengths_R))
        positions = [position for response, position in tokens if response == r]
        found = {}
        for position in positions:
            square_P = [0.0] * len(wanted)

            def note(i: int, gradient: torch.Tensor, square_P: list[float] = square_P) -> None:
                square_P[i] = inner(gradient, gradient)

            each_gradient(logprob_N[position], wanted, note, retain_graph=position != positions[-1])
            found[r, position] = math.sqrt(sum(square_P))
        return found

    found: dict[tuple[int, int], float] = {}
    for part in side_by_side(of_response, sorted({response for response, _ in tokens}), processes):
        found |= part
    return [found[token] for token in tokens]
