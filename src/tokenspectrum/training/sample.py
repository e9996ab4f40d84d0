"""Sample responses to questions for a training step.  The same for all engines.

Knows how a prompt is cut and how many samples it gets.  Knows no policy.
"""

from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from tokenspectrum.rollout.engine import check_groups
from tokenspectrum.rollout.questions import Question, encode_questions
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.training.dynamic import Generate
from tokenspectrum.training.job import TrainJob


def sampler(
    job: TrainJob,
    tokenizer: PreTrainedTokenizerBase,
    cut: list[str],
    generate: Callable[[Sequence[Prompt], Sampling], Sequence[Response]],
) -> Generate:
    """A function that samples with `generate` from the present policy.  Prompts that were cut are added to `cut`."""
    asked = job.sampling
    sampling = Sampling(asked.temperature, asked.top_p, asked.max_response_tokens, asked.n)

    def sample(questions: Sequence[Question]) -> Sequence[Response]:
        prompts = encode_questions(questions, tokenizer, asked.max_prompt_tokens)
        cut.extend(prompt.prompt_id for prompt in prompts if prompt.n_dropped)
        responses = generate(prompts, sampling)
        check_groups(responses, prompts, sampling.n)
        return responses

    return sample
