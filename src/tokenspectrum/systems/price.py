"""What training, evaluation and the probe cost in GPU-hours, from the policy's sizes and params.  Arithmetic only.

A token costs 2 operations a weight in a forward pass and 6 in an update, 8 with gradient checkpointing.  How much of a
GPU's peak is reached is an assumption, and the caller says it with every number.  A measured time of a step takes the
place of all of that for training.
"""

from dataclasses import dataclass

from tokenspectrum.params.evaluate import EvaluateParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.train import TrainParams

# Problems of the benchmarks as published, by the format of their file.
PUBLISHED = {"math": 5000, "math500": 500, "minerva_math": 272, "olympiadbench": 675, "aime24": 30}


@dataclass(frozen=True)
class Speed:
    """A GPU's peak in 10^12 operations a second, and the share of it that passes and decoding reach: assumptions."""

    tflops: float = 989.0
    passes: float = 0.35
    decoding: float = 0.1

    def hours(self, operations: float, share: float) -> float:
        """GPU-hours of so many operations."""
        return operations / (self.tflops * 1e12 * share) / 3600


def step_hours(
    train: TrainParams, sampling: SamplingParams, weights: int, response: int, speed: Speed, checkpointing: bool
) -> float:
    """GPU-hours of one training step: decode the responses, score them once, update on them."""
    responses = train.prompts_per_step * sampling.n
    decoded = 2 * weights * responses * response
    # Prompts are at their limit at most; they count in the passes.
    seen = responses * (response + sampling.max_prompt_tokens)
    passed = (2 + (8 if checkpointing else 6)) * weights * seen
    return speed.hours(decoded, speed.decoding) + speed.hours(passed, speed.passes)


def evaluation_hours(evaluate: EvaluateParams, problems: int, weights: int, response: int, speed: Speed) -> float:
    """GPU-hours of evaluating one policy at one checkpoint."""
    return speed.hours(2 * weights * problems * evaluate.samples * response, speed.decoding)


def probe_hours(prompts: int, sampling: SamplingParams, weights: int, response: int, speed: Speed) -> float:
    """GPU-hours of one base policy's probe: decode, score, and the gradients of its tokens, at 4 backward passes."""
    responses = prompts * sampling.n
    seen = responses * (response + sampling.max_prompt_tokens)
    decoded = speed.hours(2 * weights * responses * response, speed.decoding)
    return decoded + speed.hours((2 + 4 * 6) * weights * seen, speed.passes)
