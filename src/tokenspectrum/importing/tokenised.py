"""A record's prompt and response as the policy's tokens, and its problem as text.  Knows tokenizers by their interface.

A text that lost its special tokens is put back into the chat template: what the template writes around a user's turn
is known, so the turn is what is left of the text.  If the template is another, the whole text is taken for the turn.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedTokenizerBase

from tokenspectrum.importing.records import Messages, Record
from tokenspectrum.policy.chat import encode_prompt

_NO_LIMIT = 10**9
_MARK = "\u241f9f3c\u241f"  # no problem holds it


@dataclass(frozen=True)
class Tokenised:
    """A record as tokens.  `exact`: the prompt's tokens are those that the policy saw, as far as the dump can tell."""

    problem: str
    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    exact: bool
    ended: bool


class Encoder:
    """Turns records into tokens with one tokenizer."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, ends: Collection[int], max_response_tokens: int | None = None
    ) -> None:
        """`ends`: the tokens that end a response.  `max_response_tokens`: the limit under which texts were sampled."""
        self.tokenizer, self.ends, self.limit = tokenizer, ends, max_response_tokens
        marked, _ = encode_prompt(tokenizer, [{"role": "user", "content": _MARK}], _NO_LIMIT)
        self._before, _, self._behind = self._plain(marked).partition(_MARK)

    def encode(self, record: Record) -> Tokenised:
        """The record's tokens; a response of text gets an end-of-sequence token unless it has one or is cut off."""
        problem, prompt_ids, exact = self._prompt(record)
        ids = self._response(record.response)
        return Tokenised(problem, prompt_ids, ids, exact, bool(ids) and ids[-1] in self.ends)

    def whole(self, prompt_ids: Sequence[int]) -> str:
        """All of a prompt as text, with what the chat template writes around its turns."""
        return cast(str, self.tokenizer.decode(list(prompt_ids)))

    def _prompt(self, record: Record) -> tuple[str, tuple[int, ...], bool]:
        prompt = record.prompt
        if isinstance(prompt, str):
            if not record.stripped:
                # As TRL asks: with what the tokenizer puts at a text's start.
                return prompt, tuple(cast(list[int], self.tokenizer(prompt)["input_ids"])), True
            turn, exact = self._turn(prompt)
            return turn, encode_prompt(self.tokenizer, [{"role": "user", "content": turn}], _NO_LIMIT)[0], exact
        if prompt and isinstance(prompt[0], int):
            ids = tuple(cast(Sequence[int], prompt))
            return self._turn(self._plain(ids))[0], ids, True
        chat = cast(Messages, prompt)
        text = next((m["content"] for m in reversed(chat) if m["role"] == "user"), chat[-1]["content"])
        return text, encode_prompt(self.tokenizer, chat, _NO_LIMIT)[0], True

    def _turn(self, text: str) -> tuple[str, bool]:
        """The user's turn in a prompt's plain text, and whether the template was found around it."""
        if text.startswith(self._before) and text.endswith(self._behind):
            return text[len(self._before) : len(text) - len(self._behind)], True
        # A generation prompt's last blanks are often lost.
        behind = self._behind.rstrip()
        if text.startswith(self._before) and text.rstrip().endswith(behind):
            return text.rstrip()[len(self._before) : len(text.rstrip()) - len(behind)], True
        return text, False

    def _response(self, response: str | Sequence[int]) -> tuple[int, ...]:
        if not isinstance(response, str):
            return tuple(response)
        ids = self._ids(response)
        if self.limit is not None and len(ids) >= self.limit:
            return ids[: self.limit]
        return ids if ids and ids[-1] in self.ends else (*ids, self.tokenizer.eos_token_id)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(cast(list[int], self.tokenizer.encode(text, add_special_tokens=False)))

    def _plain(self, ids: Sequence[int]) -> str:
        return cast(str, self.tokenizer.decode(list(ids), skip_special_tokens=True))
