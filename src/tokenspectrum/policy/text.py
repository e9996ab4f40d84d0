"""The text of a response, as the verifier reads it.  Knows tokenizers by their interface alone."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase


def response_texts(tokenizer: PreTrainedTokenizerBase, responses_ids: Sequence[Sequence[int]]) -> list[str]:
    r"""The text of each response without the special tokens that end it.

    A special or reserved token within a response stays in its text: a policy that writes \boxed{4, such a token and
    2} has not written 42.
    """
    special = set(tokenizer.all_special_ids)
    special |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    kept = []
    for ids in responses_ids:
        end = len(ids)
        while end and ids[end - 1] in special:
            end -= 1
        kept.append(list(ids[:end]))
    return tokenizer.batch_decode(kept, skip_special_tokens=False)
