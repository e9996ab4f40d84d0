"""The table `vocab`: each token's text and type.  Knows tokenizers by their interface alone, no model."""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Any, cast

from transformers import PreTrainedTokenizerBase

from tokenspectrum.tables.vocab import SCHEMA
from tokenspectrum.tokenlog.writer import write_file, write_manifest

# Signs that do arithmetic or build LaTeX; Unicode's own mathematical signs (category Sm) join them.
_OPERATORS = frozenset("+-*/=<>^_|~\\{}$&%")


@cache
def _byte_of_sign() -> dict[str, int]:
    """GPT-2's table reversed: byte-level BPE writes each byte as one printable sign."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def token_text(tokenizer: PreTrainedTokenizerBase, token_id: int) -> str:
    """What the token adds to a text.  Bytes that are no UTF-8 by themselves are shown as <0xE2><0x88>."""
    # The library's annotations do not say that one id gives one text.
    piece = cast(str, tokenizer.convert_ids_to_tokens(token_id))
    text = cast(str, tokenizer.decode([token_id], skip_special_tokens=False, clean_up_tokenization_spaces=False))
    if "\ufffd" in text and all(sign in _byte_of_sign() for sign in piece):
        return "".join(f"<0x{_byte_of_sign()[sign]:02X}>" for sign in piece)
    # SentencePiece decoders drop the space at the start of a text, and here every token starts one.
    return f" {text}" if piece.startswith("\u2581") and not text.startswith(" ") else text


def token_type(text: str, is_special: bool) -> str:
    """One of TYPES, by the token's first sign without blanks around it.  So \\frac is an operator.

    digit: decimal digits.  operator: arithmetic and LaTeX.  word: starts with a letter, or is a piece of one.
    """
    if is_special:
        return "special"
    core = text.strip()
    if not core:
        return "whitespace"
    if core.startswith("<0x"):
        return "word"  # part of a sign outside ASCII, nearly always a letter of another script
    first = core[0]
    category = unicodedata.category(first)
    if category == "Nd":
        return "digit"
    if first in _OPERATORS or category == "Sm":
        return "operator"
    return "word" if category[0] in "LMN" else "punctuation"


def vocab_columns(tokenizer: PreTrainedTokenizerBase, policy: str) -> dict[str, list[Any]]:
    """Columns of the table `vocab`, a row for each id below len(tokenizer)."""
    special = set(tokenizer.all_special_ids) | {
        i for i, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    texts = [token_text(tokenizer, i) for i in range(len(tokenizer))]
    return {
        "policy": [policy] * len(texts),
        "token_id": list(range(len(texts))),
        "text": texts,
        "type": [token_type(text, i in special) for i, text in enumerate(texts)],
    }


def write_vocab(root: Path, tokenizer: PreTrainedTokenizerBase, policy: str) -> None:
    """Write the folder `root` with the one file vocab.parquet and its manifest."""
    write_file(root / "vocab.parquet", SCHEMA, vocab_columns(tokenizer, policy))
    write_manifest(root)
