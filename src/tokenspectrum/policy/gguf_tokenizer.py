"""The tokenizer that a GGUF file describes.  Knows the file's metadata, and no weights.

A byte-level tokenizer is put together here.  transformers' reader takes one way to cut a text into pieces for all of
them, and loses which token ends a text.  For SmolLM2 that cuts a line break before a digit in another way than the
model was trained with.  A SentencePiece tokenizer is transformers' own.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.integrations.ggml import convert_gguf_tokenizer

from tokenspectrum.errors import UserError

_CONTROL, _USER_DEFINED = 3, 4
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _cut(digits: str) -> Callable[[], Any]:
    """Words, then `digits`, then signs and blanks: as Llama 3 and Qwen 2 do."""
    pieces = pre_tokenizers.Split(Regex(_WORDS + digits + _REST), "isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return lambda: pre_tokenizers.Sequence([pieces, bytes_])


def _gpt2() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


# How a text is cut before its pieces are merged, by the name that GGUF has for it.
PIECES: dict[str, Callable[[], Any]] = {
    "gpt-2": _gpt2,
    "smollm": lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()]),
    "llama-bpe": _cut(r"\p{N}{1,3}"),
    "qwen2": _cut(r"\p{N}"),
}


def _byte_level(fields: Mapping[str, Any], where: str) -> Tokenizer:
    name = fields.get("tokenizer.ggml.pre", "gpt-2")
    if not isinstance(name, str) or name not in PIECES:
        raise UserError(
            f"{where}: its tokenizer cuts texts in a way named {name!r:.40}, which is not known here "
            f"({', '.join(PIECES)} are); use the checkpoint's safetensors and tokenizer files with policy.kind hub"
        )
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = PIECES[name]()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentence_piece(fields: Mapping[str, Any]) -> Tokenizer:
    prefix = "tokenizer.ggml."
    given = {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}
    # The library's names of the same facts.
    renamed = {"model": "tokenizer_type", "unknown_token_id": "unk_token_id", "add_space_prefix": "add_prefix_space"}
    return convert_gguf_tokenizer("llama", {renamed.get(name, name): value for name, value in given.items()})[0]


def _whole(kind: str, fields: Mapping[str, Any], where: str) -> PreTrainedTokenizerFast:
    tokenizer = _byte_level(fields, where) if kind == "gpt2" else _sentence_piece(fields)
    tokens = fields["tokenizer.ggml.tokens"]
    kinds = fields.get("tokenizer.ggml.token_type", [])
    named = {
        f"{ours}_token": tokens[fields[f"tokenizer.ggml.{theirs}_token_id"]]
        for ours, theirs in {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}.items()
        if f"tokenizer.ggml.{theirs}_token_id" in fields
    }
    if "eos_token" not in named:
        raise UserError(f"{where}: its tokenizer has no end-of-sequence token; use another file")
    for token, of in zip(tokens, kinds, strict=False):
        if of in (_CONTROL, _USER_DEFINED):
            tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=of == _CONTROL)])
    template = fields.get("tokenizer.chat_template")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, chat_template=template, clean_up_tokenization_spaces=False, **named
    )


def gguf_tokenizer(fields: Mapping[str, Any], where: str) -> PreTrainedTokenizerFast:
    """The tokenizer with its special tokens and its chat template.

    Raises UserError for a kind of tokenizer that is not known here, and for one that is not whole.
    """
    kind = fields.get("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise UserError(f"{where}: its tokenizer is of kind {kind!r:.40}; only gpt2 (byte-level) and llama are read")
    try:
        return _whole(kind, fields, where)
    except UserError:
        raise
    except Exception as e:  # what the tokenizers library raises has no type of its own
        said = " ".join(str(e).split())
        raise UserError(
            f"{where}: its tokenizer is not whole ({type(e).__name__}: {said:.100}); use another file"
        ) from None
