"""The protocol of rollout engines: prompts in, sampled responses out.  And the check that all of them came.

Knows no implementation.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.types import Prompt, Response, Sampling


class RolloutEngine(Protocol):
    """Samples `sampling.n` responses a prompt from its policy."""

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seed: int, step: int, domain: str = "sample"
    ) -> list[Response]:
        """Responses prompt-major: response p * n + i is sample i of prompt p.

        The token at a position is a function of (domain, seed, step, prompt_id, sample, position), the policy and the
        prompt, up to float noise.  It does not depend on the rest of the batch.
        """
        ...


def check_groups(responses: Sequence[Response], prompts: Sequence[Prompt], n: int) -> None:
    """UserError unless every prompt has exactly `n` responses, prompt-major, samples 0 to n-1, none of them empty."""
    found = Counter(response.prompt_id for response in responses)
    for prompt in prompts:
        if found[prompt.prompt_id] != n:
            raise UserError(
                f"prompt {prompt.prompt_id}: {found[prompt.prompt_id]} responses where exactly {n} are needed; the "
                "rollout engine lost some, or the prompt occurs twice"
            )
    expected = [(prompt.prompt_id, sample) for prompt in prompts for sample in range(n)]
    if [(response.prompt_id, response.sample) for response in responses] != expected:
        raise UserError("responses are not in prompt order with samples 0 to n-1: the rollout engine mixed them up")
    for response in responses:
        if not response.token_ids:
            raise UserError(f"prompt {response.prompt_id}, sample {response.sample}: an empty response")
