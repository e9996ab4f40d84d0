"""From a chat to prompt tokens, cut on the left to a limit.  Knows tokenizers by their interface alone."""

from collections.abc import Mapping, Sequence
from typing import cast

from transformers import PreTrainedTokenizerBase


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], max_tokens: int
) -> tuple[tuple[int, ...], int]:
    """Token ids of the chat with its generation prompt, and how many were cut off on the left.

    The last `max_tokens` are kept: the end of the question and the cue to answer, as verl's left truncation does.
    """
    chat = [dict(message) for message in messages]
    # With these two options it returns ids, which the library's annotation does not say.
    ids = cast(
        list[int], tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)
    )
    n_dropped = max(0, len(ids) - max_tokens)
    return tuple(ids[n_dropped:]), n_dropped
