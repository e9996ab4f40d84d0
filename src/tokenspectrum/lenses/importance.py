"""Functional importance: how the final answer changes if no later token can see this one.

The token keeps its place and its own state, but its column of the attention mask is closed.  Importance is the mean
over the answer's tokens of KL(p || p without it), in nats, where p is the distribution that emits the answer's token.

Knows a model and token ids.  Legend: B rows (a hidden token each), L positions, A tokens of the answer, V vocabulary.
"""

from collections.abc import Sequence
from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tokenspectrum.reward.boxed import last_span


def answer_span(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> tuple[int, int] | None:
    """Positions [first, end) of the tokens in which the content of the last box stands; None without a box.

    They are found by reading ever longer beginnings of the response: the first whose text goes past the opening of the
    box, and the first that reaches its end.
    """

    def text(count: int) -> str:
        """That of the first `count` tokens; of one sequence it is no list."""
        return cast(str, tokenizer.decode(list(ids[:count])))

    span = last_span(text(len(ids)))
    if span is None or span[0] == span[1]:
        return None

    def shortest(length: int) -> int:
        """The number of tokens of the shortest beginning whose text is at least so long."""
        low, high = 0, len(ids)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if len(text(middle)) >= length else (middle + 1, high)
        return low

    return shortest(span[0] + 1) - 1, shortest(span[1])


@torch.no_grad()
def importance(
    model: PreTrainedModel,
    prompt: Sequence[int],
    ids: Sequence[int],
    positions: Sequence[int],
    span: tuple[int, int],
    rows: int,
) -> list[float | None]:
    """That of the tokens at `positions`; None from the one on whose own state emits the answer's first token."""
    # The token's own query is closed to it too.  That changes its own state alone, which nothing else sees.
    asked = [t for t in positions if t < span[0] - 1]
    plain = _logprobs(model, prompt, ids, [None], span)[0]
    found: dict[int, float] = {}
    for begin in range(0, len(asked), rows):
        some = asked[begin : begin + rows]
        hidden_BAV = _logprobs(model, prompt, ids, some, span)
        kl_BA = (plain.exp() * (plain - hidden_BAV)).sum(-1)
        found |= dict(zip(some, kl_BA.mean(-1).tolist(), strict=True))
    return [found.get(t) for t in positions]


def _logprobs(
    model: PreTrainedModel,
    prompt: Sequence[int],
    ids: Sequence[int],
    hidden: Sequence[int | None],
    span: tuple[int, int],
) -> torch.Tensor:
    """float64 (B, A, V): of the answer's tokens, for each row with its token hidden (None: with none)."""
    whole = torch.tensor([*prompt, *ids][: len(prompt) + span[1]], device=model.device)
    ids_BL = whole.expand(len(hidden), -1)
    mask_BL = torch.ones_like(ids_BL)
    for row, t in enumerate(hidden):
        if t is not None:
            mask_BL[row, len(prompt) + t] = 0
    position_BL = torch.arange(len(whole), device=model.device).expand(len(hidden), -1)
    states_BLD = model.base_model(
        input_ids=ids_BL, attention_mask=mask_BL, position_ids=position_BL, use_cache=False
    ).last_hidden_state
    emits_BAD = states_BLD[:, len(prompt) + span[0] - 1 : len(prompt) + span[1] - 1]
    return model.get_output_embeddings()(emits_BAD).double().log_softmax(-1)
