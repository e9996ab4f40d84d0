"""The protocol of rollout engines: prompts in, sampled responses out.  Knows no implementation."""

from collections.abc import Sequence
from typing import Protocol

from tokenspectrum.rollout.types import Prompt, Response, Sampling


class RolloutEngine(Protocol):
    """Samples `sampling.n` responses a prompt from its policy."""

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, seed: int, step: int, domain: str = "sample"
    ) -> list[Response]:
        """Responses prompt-major: response p * n + i is sample i of prompt p.

        The token at a position is a function of (domain, seed, step, prompt_id, sample, position), the policy and the
        prompt, up to float noise: not of what else is in the batch.
        """
        ...
