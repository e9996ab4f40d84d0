"""Loading and importing checkpoints: other architectures, padded vocabularies, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from kit.policy import LLAMA, write_checkpoint
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from tokenspectrum.errors import UserError
from tokenspectrum.params.policy import HubPolicy
from tokenspectrum.policy import hub
from tokenspectrum.policy.hub import import_checkpoint
from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.save import save_policy
from tokenspectrum.policy.shape import shape_of, weights
from tokenspectrum.policy.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
SIZE = len(TOKENIZER)


def foreign(path: Path, *, rows: int = SIZE, tie: bool = False, shard: str | None = None) -> Path:
    """A small Llama checkpoint as somebody else's transformers would leave it."""
    config = LlamaConfig(vocab_size=rows, tie_word_embeddings=tie, **LLAMA)
    return write_checkpoint(path, config, **({"max_shard_size": shard} if shard else {}))


def params(source: Path | str, **changes: object) -> HubPolicy:
    given = {"kind": "hub", "source": str(source), "revision": None, "num_layers": 2} | changes
    return HubPolicy.model_validate_json(json.dumps(given))


def edit_config(path: Path, **changes: object) -> None:
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def logits(path: Path) -> torch.Tensor:
    model, tokenizer = load_policy(path)
    with torch.inference_mode():
        return model(torch.tensor([tokenizer.encode("Find b.")])).logits


@pytest.mark.parametrize("options", [{}, {"tie": True}, {"shard": "20KB"}], ids=["single", "tied", "sharded"])
def test_an_imported_checkpoint_computes_what_the_original_does(tmp_path: Path, options: dict) -> None:
    source = foreign(tmp_path / "source", **options)
    report = import_checkpoint(params(source), tmp_path / "policy")
    expected = AutoModelForCausalLM.from_pretrained(source)
    with torch.inference_mode():
        wanted = expected(torch.tensor([TOKENIZER.encode("Find b.")])).logits
    assert torch.equal(logits(tmp_path / "policy"), wanted)
    assert report == {"layers": 2, "vocab_size": SIZE, "reserved_tokens": 0}
    assert (len(list((tmp_path / "policy").glob("model-*.safetensors"))) > 1) == ("shard" in options)


def test_another_architecture_is_imported_too(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "source", GPT2Config(vocab_size=SIZE, n_embd=16, n_layer=2, n_head=2))
    import_checkpoint(params(tmp_path / "source"), tmp_path / "policy")
    assert logits(tmp_path / "policy").shape[-1] == SIZE


def test_a_padded_vocabulary_gets_reserved_tokens_and_the_same_weights(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source", rows=SIZE + 10)
    with pytest.raises(UserError, match=f"{SIZE + 10} embedding rows, its tokenizer {SIZE} tokens"):
        load_policy(source)
    report = import_checkpoint(params(source), tmp_path / "policy")
    model, tokenizer = load_policy(tmp_path / "policy")
    assert report["reserved_tokens"] == 10
    assert len(tokenizer) == SIZE + 10 == model.config.vocab_size
    assert tokenizer.decode([SIZE + 3]) == f"<|reserved_{SIZE + 3}|>"
    assert tokenizer.decode([SIZE + 3], skip_special_tokens=True) == ""
    assert tokenizer.encode("Find b. \\frac 12") == TOKENIZER.encode("Find b. \\frac 12")
    assert (tmp_path / "policy/model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("rows", "message"),
    [(SIZE - 1, f"tokenizer has {SIZE} tokens but the model only {SIZE - 1}"), (SIZE + 1025, "too few for padding")],
)
def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, rows: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        import_checkpoint(params(foreign(tmp_path / "source", rows=rows)), tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


def test_the_number_of_layers_must_be_the_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"num_layers is 3, but .* has 2 layers"):
        import_checkpoint(params(foreign(tmp_path / "source"), num_layers=3), tmp_path / "policy")


def test_stated_sizes_must_be_the_checkpoints(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    stated = shape_of(config, "here").model_dump()
    import_checkpoint(params(source, shape=stated), tmp_path / "policy")
    with pytest.raises(UserError, match=r"policy\.shape\.hidden is 5, but .* has 16"):
        import_checkpoint(params(source, shape=stated | {"hidden": 5}), tmp_path / "other")


def test_the_count_of_weights_is_the_models_own_but_for_norms(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    found = sum(tensor.numel() for tensor in load_file(source / "model.safetensors").values() if tensor.dim() > 1)
    assert weights(shape_of(config, "here"), config["num_hidden_layers"]) == found


def test_a_policy_lands_on_the_device_asked_for(tmp_path: Path) -> None:
    import_checkpoint(params(foreign(tmp_path / "original")), tmp_path / "policy")
    for device in ("cpu", "meta"):
        model, _ = load_policy(tmp_path / "policy", device=device)
        assert {p.device.type for p in model.parameters()} == {device}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here: nothing to refuse")
def test_a_gpu_that_is_not_here_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"systems\.device: cuda, but torch sees no GPU here; [^\n]*$"):
        load_policy(tmp_path, device="cuda")


def test_remote_code_is_refused_on_import_and_on_loading(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source")
    edit_config(source, auto_map={"AutoModelForCausalLM": "evil.Model"})
    for attempt in (lambda: import_checkpoint(params(source), tmp_path / "policy"), lambda: load_policy(source)):
        with pytest.raises(UserError, match="needs remote code"):
            attempt()


def test_weights_in_another_format_are_refused(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source")
    torch.save(load_file(source / "model.safetensors"), source / "pytorch_model.bin")
    (source / "model.safetensors").unlink()
    with pytest.raises(UserError, match="only safetensors weights are read"):
        import_checkpoint(params(source), tmp_path / "policy")
    with pytest.raises(UserError, match="does not load"):
        load_policy(source)


def test_a_missing_shard_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source", shard="20KB")
    shard = sorted(source.glob("model-*.safetensors"))[1]
    whole = shard.read_bytes()
    shard.unlink()
    with pytest.raises(UserError, match=shard.name):
        import_checkpoint(params(source), tmp_path / "policy")
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=f"{shard.name}: damaged"):
        import_checkpoint(params(source), tmp_path / "policy")


def test_missing_weights_are_an_error_not_a_random_layer(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are missing, model\.layers\.1\.mlp\.up_proj\.weight"):
        load_policy(source)


def test_a_chat_template_may_be_given_and_is_needed(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source")
    (source / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="no chat template"):
        import_checkpoint(params(source), tmp_path / "policy")
    template = "{{ messages[0]['content'] }} Answer:"
    import_checkpoint(params(source, chat_template=template), tmp_path / "policy")
    _, tokenizer = load_policy(tmp_path / "policy")
    assert tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False) == "x Answer:"


def test_missing_folders_and_malformed_configs_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        import_checkpoint(params(tmp_path / "nowhere"), tmp_path / "policy")
    source = foreign(tmp_path / "source")
    (source / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: not valid JSON"):
        load_policy(source)
    (source / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        load_policy(source)


def test_the_hub_is_asked_for_the_pinned_revision_and_safetensors_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, asked = foreign(tmp_path / "source"), {}

    def snapshot(repo: str, **options: object) -> str:
        asked.update(options, repo=repo)
        return str(source)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    import_checkpoint(params("someone/model", revision="a" * 40), tmp_path / "policy")
    assert (asked["repo"], asked["revision"]) == ("someone/model", "a" * 40)
    assert not any(pattern.endswith((".bin", ".pt", ".py", "*")) for pattern in asked["allow_patterns"][:4])
    assert load_policy(tmp_path / "policy")


def test_an_unreachable_hub_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(*args: object, **options: object) -> str:
        raise OSError("no route to host\nmore")

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    with pytest.raises(UserError, match=r"someone/model at a{40}: cannot be fetched \(OSError: no route to host\)"):
        import_checkpoint(params("someone/model", revision="a" * 40), tmp_path / "policy")


def test_saving_replaces_a_folder_whole(tmp_path: Path) -> None:
    model, tokenizer = load_policy(foreign(tmp_path / "source"))
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/left_over.bin").write_text("x")
    save_policy(model, tokenizer, tmp_path / "policy")
    assert "left_over.bin" not in {p.name for p in (tmp_path / "policy").iterdir()}
    assert torch.equal(logits(tmp_path / "policy"), logits(tmp_path / "source"))
    with pytest.raises(RuntimeError):
        save_policy(Broken(), tokenizer, tmp_path / "policy")
    assert torch.equal(logits(tmp_path / "policy"), logits(tmp_path / "source"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["policy", "source"]


class Broken:
    """A model whose saving fails half-way."""

    def save_pretrained(self, path: Path) -> None:
        path.mkdir(parents=True)
        (path / "config.json").write_text("{")
        raise RuntimeError("disk")


def test_load_policy_obeys_dtype(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source")
    assert load_policy(source, dtype="bfloat16")[0].dtype == torch.bfloat16
    assert load_policy(source)[0].dtype == torch.float32
    shutil.rmtree(source)
