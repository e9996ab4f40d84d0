"""Checkpoints as they are met in the wild: what would lose or bend a run is taken out, or refused in one line."""

import json
import logging
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.policy import LLAMA, write_checkpoint, write_letters
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    GPT2Config,
    GPTBigCodeConfig,
    LlamaConfig,
    MambaConfig,
    MixtralConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from tokenspectrum.errors import UserError
from tokenspectrum.params.policy import HubPolicy
from tokenspectrum.policy.hub import fill_vocabulary, import_checkpoint
from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.neutral import neutralise
from tokenspectrum.policy.save import save_policy
from tokenspectrum.policy.supported import check_architecture
from tokenspectrum.policy.template import check_template
from tokenspectrum.policy.text import response_texts
from tokenspectrum.policy.tokenizer import CHAT_TEMPLATE, build_tokenizer
from tokenspectrum.reward.boxed import verify

TOKENIZER = build_tokenizer()
SIZE = len(TOKENIZER)
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def edit(path: Path, name: str, **changes: object) -> None:
    file = path / name
    given = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(given | changes))


def imported(source: Path, out: Path, **changes: object) -> dict:
    values = {"kind": "hub", "source": str(source), "revision": None, "num_layers": 2} | changes
    return import_checkpoint(HubPolicy.model_validate_json(json.dumps(values)), out)


def refusal(source: Path, **changes: object) -> str:
    out = source.parent / "refused"
    with pytest.raises(UserError) as caught:
        imported(source, out, **changes)
    assert "\n" not in str(caught.value)
    assert not out.exists()
    return str(caught.value)


SAMPLING = [
    {"do_sample": False, "temperature": 0.6, "top_p": 0.9},
    {"do_sample": True, "top_k": 20, "temperature": 0.6, "repetition_penalty": 1.05},
    {"num_beams": 1, "num_return_sequences": 4, "early_stopping": True},
    {"max_new_tokens": -1, "return_dict_in_generate": False, "output_scores": True},
    {"cache_implementation": "nonsense", "unknown": {"a": 1}},
]


@pytest.mark.parametrize("generation", SAMPLING)
def test_a_checkpoint_s_own_sampling_loses_no_run(tmp_path, generation, caplog):
    source = write_checkpoint(tmp_path / "source")
    edit(source, "generation_config.json", eos_token_id=[1, 2], **generation)
    with caplog.at_level(logging.WARNING):
        report = imported(source, tmp_path / "policy")
    assert "generation_config's " + sorted(generation)[0] in report["not_taken"]
    assert "not taken from the checkpoint" in caplog.text
    model, tokenizer = load_policy(tmp_path / "policy")
    assert model.generation_config.eos_token_id == [1, 2]
    save_policy(model, tokenizer, tmp_path / "trained")
    assert json.loads((tmp_path / "trained/generation_config.json").read_text())["eos_token_id"] == [1, 2]
    assert not set(json.loads((tmp_path / "trained/generation_config.json").read_text())) & set(generation)


@pytest.mark.parametrize("generation", SAMPLING[:3])
def test_a_save_does_not_trip_over_what_a_model_brings(tmp_path, generation):
    model, tokenizer = load_policy(write_checkpoint(tmp_path / "source"))
    vars(model.generation_config).update(generation)
    kept = model.generation_config
    save_policy(model, tokenizer, tmp_path / "trained")
    assert model.generation_config is kept
    assert load_policy(tmp_path / "trained")


def test_a_damaged_generation_config_is_one_line(tmp_path):
    source = write_checkpoint(tmp_path / "source")
    for content in ("{", "[1]", '"x"'):
        (source / "generation_config.json").write_text(content)
        assert "generation_config.json of the checkpoint: no" in refusal(source)


def test_old_shards_beside_a_newer_single_file_are_left_behind(tmp_path):
    source = write_checkpoint(tmp_path / "source", seed=1, max_shard_size="20KB")
    shards = {file.name for file in source.glob("model-*.safetensors")}
    new = write_checkpoint(tmp_path / "new", seed=2)
    (source / "model.safetensors").write_bytes((new / "model.safetensors").read_bytes())
    imported(source, tmp_path / "policy")
    there = {file.name for file in (tmp_path / "policy").iterdir()}
    assert len(shards) > 1
    assert not there & (shards | {"model.safetensors.index.json"})
    loaded, expected = load_policy(tmp_path / "policy")[0], AutoModelForCausalLM.from_pretrained(source)
    for name, value in expected.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    assert torch.equal(load_file(new / "model.safetensors")["lm_head.weight"], loaded.lm_head.weight)


def test_an_index_without_shards_is_one_line(tmp_path):
    source = write_checkpoint(tmp_path / "source")
    (source / "model.safetensors").unlink()
    (source / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    assert "not a safetensors index" in refusal(source)


@pytest.mark.parametrize("shard", ["../elsewhere.safetensors", "/tmp/x.safetensors", "gone.safetensors"])
def test_shards_that_are_not_in_the_folder_are_refused(tmp_path, shard):
    source = write_checkpoint(tmp_path / "source", max_shard_size="20KB")
    index = source / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["lm_head.weight"] = shard
    index.write_text(json.dumps(content))
    save_file({"lm_head.weight": torch.zeros(SIZE, 16)}, tmp_path / "elsewhere.safetensors")
    assert "is not a file of this folder" in refusal(source) or "no such file" in refusal(source)


NOISY = [
    LlamaConfig(vocab_size=SIZE, attention_dropout=0.1, **LLAMA),
    GPT2Config(vocab_size=SIZE, n_embd=16, n_layer=2, n_head=2, attn_pdrop=0.1, resid_pdrop=0.2, embd_pdrop=0.3),
    Qwen3Config(vocab_size=SIZE, head_dim=8, attention_dropout=0.5, **LLAMA),
    MixtralConfig(vocab_size=SIZE, num_local_experts=2, router_jitter_noise=0.5, attention_dropout=0.1, **LLAMA),
]


@pytest.mark.parametrize("config", NOISY, ids=lambda config: config.model_type)
def test_the_update_computes_what_sampling_computed(tmp_path, config):
    report = imported(write_checkpoint(tmp_path / "source", config), tmp_path / "policy")
    assert any("drop" in phrase for phrase in report["not_taken"])
    model, _ = load_policy(tmp_path / "policy")
    ids = torch.arange(24)[None] % SIZE
    with torch.no_grad():
        sampled = model.eval()(ids).logits
        updated = model.train()(ids).logits
    assert torch.equal(sampled, updated)


@given(
    st.sampled_from(["attention_dropout", "dropout", "resid_pdrop", "hidden_dropout_prob", "layerdrop", "drop_rate"])
)
def test_noise_is_found_by_its_name_wherever_it_is(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("config")
    kept = {"drop_path_note": "x", "dropped_tokens": 5, "vocab_size": 9, "use_dropout": True}
    (folder / "config.json").write_text(json.dumps({name: 0.1, "text_config": {name: 0.2} | kept} | kept))
    changed = neutralise(folder)
    config = json.loads((folder / "config.json").read_text())
    assert changed == [f"{name} 0.1", f"text_config.{name} 0.2"]
    assert config[name] == config["text_config"][name] == 0
    assert {key: config[key] for key in kept} == kept


CLOCK = "{{ strftime_now('%d %b %Y') }}" + CHAT_TEMPLATE
TEMPLATES = [
    (CLOCK, "the chat template reads strftime_now"),
    (
        "{% if strftime_now is defined %}{% set d = strftime_now('%Y') %}{{ d }}{% endif %}" + CHAT_TEMPLATE,
        "strftime_now",
    ),
    ("{% set f = strftime_now %}{{ f('%d') }}" + CHAT_TEMPLATE, "strftime_now"),
    ("{{ ['a', 'b'] | random }}" + CHAT_TEMPLATE, "reads random"),
    ("{{ ['ab'] | map('random') | list }}" + CHAT_TEMPLATE, "reads random"),
    ("{% if false %}{% set strftime_now = 1 %}{% endif %}" + CLOCK, "reads strftime_now"),
    ("{{ raise_exception }}" + CHAT_TEMPLATE, "which is another one in every process"),
    ("{{ lipsum() }}" + CHAT_TEMPLATE, "reads lipsum"),
    ("{% for m in messages %}", "fails (TemplateSyntaxError"),
    ("{{ messages[0]['content'] + 1 }}", "fails (TypeError"),
    ("{{ messages[0].content.nothing.more }}", "fails (UndefinedError"),
    ("{{ raise_exception('system first') }}", "fails (TemplateError: system first)"),
    ("{% include 'a' %}", "fails ("),
    ("constant", "leaves out what the user says"),
    ("{{ 1 / 0 }}", "fails (ZeroDivisionError"),
]


@pytest.mark.parametrize(("template", "message"), TEMPLATES)
def test_a_template_that_is_not_fit_is_one_line_at_the_policy_stage(tmp_path, template, message):
    source = write_checkpoint(tmp_path / "source")
    assert message in refusal(source, chat_template=template)
    assert "give another in policy.chat_template" in refusal(source, chat_template=template)


def test_a_template_with_names_of_its_own_is_fit(tmp_path):
    source = write_checkpoint(tmp_path / "source")
    own = "{% set now = 'noon' %}{{ now }}" + CHAT_TEMPLATE
    imported(source, tmp_path / "policy", chat_template=own)


@settings(deadline=None)
@given(st.text(alphabet="{}%| abcn'+-._()[]", max_size=20))
def test_any_template_is_fit_or_refused(text):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=TOKENIZER._tokenizer, chat_template=text or "x")
    with pytest.raises(UserError) as caught:
        check_template(tokenizer, "here")
    assert str(caught.value).startswith("here: ")


@pytest.mark.parametrize("missing", [["tokenizer.json"], ["tokenizer.json", "tokenizer_config.json"]])
def test_a_folder_without_tokenizer_files_is_one_line(tmp_path, missing):
    source = write_checkpoint(tmp_path / "source")
    for name in missing:
        (source / name).unlink()
    assert f"policy.source {source}: no loadable tokenizer" in refusal(source)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": 5}', "\0"])
def test_a_damaged_tokenizer_is_one_line(tmp_path, content):
    source = write_checkpoint(tmp_path / "source")
    (source / "tokenizer.json").write_text(content)
    assert "no loadable tokenizer" in refusal(source)


def test_a_base_model_without_a_template_is_told_where_to_give_one(tmp_path):
    source = write_checkpoint(tmp_path / "source")
    for file in source.glob("*.jinja"):
        file.unlink()
    message = f"policy.source {source}: its tokenizer has no chat template; give one in policy.chat_template"
    assert refusal(source) == message
    imported(source, tmp_path / "policy", chat_template=CHAT_TEMPLATE)


def test_a_spare_id_within_an_answer_is_not_read_over(tmp_path):
    source = write_checkpoint(tmp_path / "source", LlamaConfig(vocab_size=SIZE + 5, **LLAMA))
    assert imported(source, tmp_path / "policy")["reserved_tokens"] == 5
    _, tokenizer = load_policy(tmp_path / "policy")
    four, two = (tokenizer.encode(text, add_special_tokens=False) for text in ("\\boxed{4", "2}"))
    for between in (SIZE + 3, tokenizer.pad_token_id, tokenizer.convert_tokens_to_ids("<|im_start|>")):
        (text,) = response_texts(tokenizer, [[*four, between, *two]])
        assert not verify(text, "42", "mine").correct
        assert verify(text, "42", "mine").reward_raw == -1
    plain, ended = response_texts(tokenizer, [[*four, *two], [*four, *two, tokenizer.eos_token_id]])
    assert plain == ended == "\\boxed{42}"


@pytest.mark.parametrize(("rows", "fits"), [(SIZE + 1000, True), (SIZE + 1024, True), (SIZE + 1025, False)])
def test_spare_rows_of_a_small_vocabulary(tmp_path, rows, fits):
    source = write_checkpoint(tmp_path / "source", LlamaConfig(vocab_size=rows, **LLAMA))
    if fits:
        assert imported(source, tmp_path / "policy")["reserved_tokens"] == rows - SIZE
    else:
        assert "use the tokenizer that belongs to this checkpoint" in refusal(source)


def test_as_many_spare_rows_as_deepseek_has_are_accepted():
    words = {f"t{i}": i for i in range(100_015)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="t0")))
    assert fill_vocabulary(tokenizer, 102_400, "here") == 2385


@pytest.mark.parametrize("config_class", [GPT2Config, GPTBigCodeConfig])
def test_architectures_that_count_their_layers_otherwise_are_supported(tmp_path, config_class):
    source = write_checkpoint(tmp_path / "source", config_class(vocab_size=SIZE, n_embd=16, n_layer=2, n_head=2))
    imported(source, tmp_path / "policy")
    assert json.loads((tmp_path / "policy/config.json").read_text())["num_hidden_layers"] == 2
    assert load_policy(tmp_path / "policy")[0].config.num_hidden_layers == 2


UNSUPPORTED = [
    (
        BloomConfig(vocab_size=SIZE, hidden_size=16, n_layer=2, n_head=2),
        "do not call transformers' attention interface",
    ),
    (FalconConfig(vocab_size=SIZE, **SMALL), "do not call transformers' attention interface"),
    (
        MambaConfig(vocab_size=SIZE, hidden_size=16, num_hidden_layers=2),
        "do not call transformers' attention interface",
    ),
    (Gemma2Config(vocab_size=SIZE, head_dim=8, **LLAMA), "uses softcap"),
    (BertConfig(vocab_size=SIZE, **SMALL), "is not causal"),
]


@pytest.mark.parametrize(("config", "reason"), UNSUPPORTED, ids=lambda value: getattr(value, "model_type", ""))
def test_an_architecture_that_cannot_be_measured_is_refused_at_the_policy_stage(tmp_path, config, reason):
    message = refusal(write_checkpoint(tmp_path / "source", config))
    assert f"architecture {config.model_type} is not supported" in message
    assert reason in message


def test_a_hybrid_is_judged_by_its_layers_of_attention():
    kinds = ["sliding_attention", "full_attention"] * 6
    config = Qwen3Config(
        vocab_size=SIZE,
        head_dim=8,
        layer_types=kinds,
        sliding_window=64,
        use_sliding_window=True,
        **LLAMA | {"num_hidden_layers": 12},
    )
    check_architecture(config, "here")
    assert config.num_hidden_layers == 12


DAMAGE = {
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a link to nothing": lambda file: (file.unlink(), file.symlink_to("nowhere")),
    "nested too deeply": lambda file: file.write_text("[" * 100_000),
    "a list": lambda file: file.write_text("[1]"),
    "half of it": lambda file: file.write_bytes(file.read_bytes()[:20]),
    "a layer count that is none": lambda file: file.write_text(
        file.read_text().replace('_layers": 2', '_layers": "x"')
    ),
    "architectures that are none": lambda file: file.write_text(
        json.dumps(json.loads(file.read_text()) | {"architectures": 1e9})
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_config_is_a_line_that_names_no_folder_of_ours(tmp_path, damage):
    folder = write_letters(tmp_path / "mine")
    DAMAGE[damage](folder / "config.json")
    with pytest.raises(UserError, match=r"mine/config\.json: ") as caught:
        import_checkpoint(HubPolicy(kind="hub", source=str(folder), num_layers=2), tmp_path / "out")
    assert len(str(caught.value).splitlines()) == 1
    assert ".tmp" not in str(caught.value)


def test_a_damaged_generation_config_and_a_tokenizer_without_an_end_are_lines_too(tmp_path):
    folder = write_letters(tmp_path / "mine")
    (folder / "generation_config.json").write_text("[" * 100_000)
    policy = HubPolicy(kind="hub", source=str(folder), num_layers=2)
    with pytest.raises(UserError, match=r"generation_config\.json of the checkpoint: not valid JSON"):
        import_checkpoint(policy, tmp_path / "out")
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text()) | {"eos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"^policy.source .*mine: the tokenizer has no end-of-sequence token"):
        import_checkpoint(policy, tmp_path / "out")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_no_number_is_named_with_its_tensor(tmp_path, value):
    source = write_checkpoint(tmp_path / "source")
    weights = load_file(source / "model.safetensors")
    weights["model.norm.weight"][3] = value
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    assert "model.safetensors: model.norm.weight holds NaN or infinite values" in refusal(source)


@pytest.mark.parametrize("end", [-1, "2", [1, "2"], [[1]], True, 1.5, {"id": 2}])
def test_an_end_of_sequence_that_is_no_token_is_named(tmp_path, end):
    source = write_checkpoint(tmp_path / "source")
    edit(source, "generation_config.json", eos_token_id=end)
    assert "eos_token_id" in refusal(source)
