"""The tiny tokenizer, chat encoding and the vocab table."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.policy.chat import encode_prompt
from tokenspectrum.policy.tokenizer import build_tokenizer
from tokenspectrum.policy.vocab import token_type, vocab_columns, write_vocab
from tokenspectrum.prompts import synthetic
from tokenspectrum.tables.vocab import SCHEMA, TYPES
from tokenspectrum.tokenlog.reader import check_folder

TOKENIZER = build_tokenizer()


@given(st.text(max_size=200))
def test_any_text_round_trips(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_building_it_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path / "a")
    build_tokenizer().save_pretrained(tmp_path / "b")
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()


def test_digits_stand_alone_and_words_are_one_token() -> None:
    pieces = [TOKENIZER.decode([i]) for i in TOKENIZER.encode("Step by step: b=14+5=9. The answer is \\boxed{6}.")]
    assert pieces[:7] == ["Step", " by", " step", ": ", "b", "=", "1"]
    assert pieces[-6:] == [" ", "\\boxed", "{", "6", "}", "."]


def test_longest_stand_in_prompts_and_solutions_stay_short() -> None:
    for name, spec in synthetic.STAND_INS.items():
        for i in range(100):
            worked = synthetic.draw_worked(synthetic.Draws(name, 0, i), spec)
            ids, _ = encode_prompt(TOKENIZER, [{"role": "user", "content": worked.text}], 512)
            assert len(ids) <= 80
            assert len(TOKENIZER.encode(synthetic.render(worked, "careful"))) + 1 <= 80


def test_chat_template_frames_each_message_and_cues_the_answer() -> None:
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "Find b."}]
    ids, dropped = encode_prompt(TOKENIZER, messages, 512)
    expected = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nFind b.<|im_end|>\n<|im_start|>assistant\n"
    assert TOKENIZER.decode(ids) == expected
    assert dropped == 0


def test_long_prompts_lose_their_left_end_and_say_how_much() -> None:
    messages = [{"role": "user", "content": "x " * 300 + "Find b."}]
    whole, none = encode_prompt(TOKENIZER, messages, 10_000)
    cut, dropped = encode_prompt(TOKENIZER, messages, 64)
    assert none == 0
    assert len(cut) == 64
    assert dropped == len(whole) - 64
    assert cut == whole[-64:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", "digit"),
        (" 42", "digit"),
        ("٣", "digit"),
        ("+", "operator"),
        (" =", "operator"),
        ("\\boxed", "operator"),
        ("{", "operator"),
        ("≤", "operator"),
        (". ", "punctuation"),
        (",", "punctuation"),
        ("(", "punctuation"),
        ("\n\n", "whitespace"),
        (" ", "whitespace"),
        (" step", "word"),
        ("é", "word"),
        ("数", "word"),
        ("<0xE2>", "word"),
    ],
)
def test_token_types(text: str, expected: str) -> None:
    assert token_type(text, is_special=False) == expected
    assert token_type(text, is_special=True) == "special"


def test_vocab_has_a_row_for_every_token_and_every_type() -> None:
    columns = vocab_columns(TOKENIZER, "tiny")
    assert columns["token_id"] == list(range(len(TOKENIZER)))
    assert set(columns["type"]) == set(TYPES)
    by_text = dict(zip(columns["text"], columns["type"], strict=True))
    assert len(by_text) == len(TOKENIZER), "two tokens share a text"
    assert by_text["<|im_end|>"] == "special"
    assert by_text["<0xFF>"] == "word"
    assert "\ufffd" not in "".join(columns["text"])


def test_vocab_folder_is_the_table_with_a_manifest(tmp_path: Path) -> None:
    write_vocab(tmp_path / "vocab", TOKENIZER, "tiny")
    manifest = check_folder(tmp_path / "vocab")
    assert manifest["files"]["vocab.parquet"]["rows"] == len(TOKENIZER)
    assert pq.read_schema(tmp_path / "vocab/vocab.parquet").names == SCHEMA.names


def test_real_problems_round_trip() -> None:
    text = json.loads('"Let $x$ be $\\\\frac{1}{2}$ — find ∑ 数 \\ud83d\\ude00\\u0000"')
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text
