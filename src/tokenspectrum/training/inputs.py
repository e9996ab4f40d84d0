"""Read a run's inputs before anything starts, so that a mistake costs no GPU time.  Knows files.  Knows no model."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from tokenspectrum.policy.config import read_config
from tokenspectrum.policy.load import check_vocab, load_tokenizer
from tokenspectrum.policy.positions import check_positions, check_windows, text_config_in
from tokenspectrum.rollout.questions import Question, read_questions
from tokenspectrum.training.data import PromptOrder
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.step import logged_layers


@dataclass(frozen=True)
class Inputs:
    """Prompts and their order, the tokenizer, and the layers to log."""

    questions: Sequence[Question]
    order: PromptOrder
    tokenizer: PreTrainedTokenizerBase
    layers: tuple[int, ...]


def read_inputs(job: TrainJob) -> Inputs:
    """Read all inputs.

    UserError for too few prompts, a layer out of range, a vocabulary unlike the tokenizer's, and for prompts and
    responses that may be longer than the policy has positions or a layer sees: a step far into the run would end it.
    """
    questions = list(itertools.chain.from_iterable(read_questions(job.prompts).values()))
    order = PromptOrder(tuple(q.prompt_id for q in questions), job.seed, job.train.prompts_per_step)
    tokenizer, config = load_tokenizer(job.policy), read_config(job.policy)
    text = config.get("text_config", config)
    check_vocab(job.policy, text.get("vocab_size"), tokenizer)
    layers = logged_layers(job, text["num_hidden_layers"])
    longest, sizes = job.sampling.max_prompt_tokens + job.sampling.max_response_tokens, text_config_in(job.policy)
    check_positions(sizes, longest, "sampling")
    check_windows(sizes, {*layers, *job.rule.layers}, longest, "sampling")
    return Inputs(questions, order, tokenizer, layers)
