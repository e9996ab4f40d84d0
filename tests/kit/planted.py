"""A policy made by hand, whose sparse tokens are known by construction: a fork, and an operand that the answer reads.

It speaks `boxes`, of a problem of one digit:

    prompt      4+
    response    + F + + D + + \\boxed{(D + F) mod 10} <eos>

F is 1 or 2 by a coin.  D is the prompt's digit, 97 times in 100.  The answer is sure where both F and D are seen, and
any box otherwise.  The gold answer is that of F = 1.  What a state holds is the logits that it emits, so the state that
emits the answer is that of the answer itself.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutput

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.rollout.types import Prompt, Response, Sampling

LENGTH, FORK, OPERAND, ANSWER = 9, 1, 4, 7
N_PROMPT = 2
EOS, ZERO, PLUS, BOX, VOCAB = 1, 2, 12, 13, 23  # token ids of `boxes`: digits from ZERO on, boxed ones from BOX on


def logits_of(ids: Sequence[int], seen: Sequence[bool]) -> torch.Tensor:
    """Logits (V,) of the token after `ids`, of which those are looked at that are `seen`."""
    t = len(ids) - N_PROMPT
    chance_V = np.full(VOCAB, 1e-9)
    if len(ids) == 1:
        chance_V[ids[0]] = 1.0  # read alone, a token's state is that which emits it
    elif t == FORK:
        chance_V[[ZERO + 1, ZERO + 2]] = 0.5
    elif t == OPERAND and seen[0]:
        chance_V[ZERO : ZERO + 10] = 0.03 / 9
        chance_V[ids[0]] = 0.97
    elif t == OPERAND:
        chance_V[ZERO : ZERO + 10] = 0.1
    elif t == ANSWER and seen[N_PROMPT + FORK] and seen[N_PROMPT + OPERAND]:
        fork, operand = ids[N_PROMPT + FORK] - ZERO, ids[N_PROMPT + OPERAND] - ZERO
        chance_V[BOX + (fork + operand) % 10] = 1.0
    elif t == ANSWER:
        chance_V[BOX : BOX + 10] = 0.1
    else:
        chance_V[PLUS if t < LENGTH - 1 else EOS] = 1.0
    return torch.from_numpy(np.log(chance_V / chance_V.sum())).float()


class Planted(torch.nn.Module):
    """As much of a causal model as the lenses ask for."""

    device = torch.device("cpu")
    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(num_hidden_layers=1))

    @property
    def base_model(self) -> "Planted":
        return self

    def get_output_embeddings(self) -> torch.nn.Module:
        return torch.nn.Identity()

    def forward(self, input_ids, attention_mask=None, **given) -> BaseModelOutput:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        rows = []
        for ids, seen in zip(input_ids.tolist(), mask.bool().tolist(), strict=True):
            rows.append(torch.stack([logits_of(ids[: q + 1], seen) for q in range(len(ids))]))
        state = torch.stack(rows)
        return BaseModelOutput(last_hidden_state=state, hidden_states=(state, state))


class PlantedEngine:
    """Samples from it as every engine does: a token is a function of where it stands."""

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seed: int, step: int, domain: str = "sample"
    ) -> list[Response]:
        out = []
        for prompt in prompts:
            for sample in range(sampling.n):
                key = np.array([stream_key(domain, seed, step, prompt.prompt_id, sample)], np.uint64)
                tokens: list[int] = []
                while len(tokens) < sampling.max_tokens and EOS not in tokens:
                    ids = [*prompt.token_ids, *tokens]
                    chance_V = logits_of(ids, [True] * len(ids)).double().exp().numpy()
                    u = float(uniforms(key, np.array([len(tokens)]))[0])
                    tokens.append(int(np.searchsorted(np.cumsum(chance_V / chance_V.sum()), u, side="right")))
                stopped = tokens[-1] == EOS
                out.append(
                    Response(
                        prompt.prompt_id, sample, prompt.token_ids, tuple(tokens), (0.0,) * len(tokens),
                        "stop" if stopped else "length",
                    )
                )  # fmt: skip
        return out


def planted_response(digit: int, fork: int, sample: int = 0) -> Response:
    """A response to the problem of `digit`."""
    middle = [PLUS, ZERO + fork, PLUS, PLUS, ZERO + digit, PLUS, PLUS]
    ids = (*middle, BOX + (digit + fork) % 10, EOS)
    return Response(f"d{digit}", sample, (ZERO + digit, PLUS), ids, (0.0,) * LENGTH, "stop")
