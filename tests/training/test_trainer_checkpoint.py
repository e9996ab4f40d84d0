"""Checkpoints: bit for bit, whole or not there, and never a pickle."""

import errno
import re

import pytest
import torch
from safetensors import SafetensorError

from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.save import save_policy
from tokenspectrum.training import checkpoint
from tokenspectrum.training.backends.local import tensors
from tokenspectrum.training.backends.local.backend import LocalBackend
from tokenspectrum.training.backends.local.tensors import model_tensors, restore, tensors_of
from tokenspectrum.training.checkpoint import checkpoints, read_state, resume, save
from tokenspectrum.training.damaged import DamagedError
from tokenspectrum.training.workspace import Workspace


def make(policy_dir, steps: int = 3) -> LocalBackend:
    """A policy and an optimiser after a few steps down a made-up slope."""
    model, tokenizer = load_policy(policy_dir)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for step in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.sin(parameter.detach() * 50 + step)
        optimizer.step()
    return LocalBackend(None, model, optimizer, tokenizer, None)


def test_restored_training_goes_on_bit_for_bit(policy_dir, tmp_path) -> None:
    one = make(policy_dir)
    save(one, tmp_path, "x", {}, 3)
    drawn = torch.rand(3)
    other = make(policy_dir, steps=0)
    work = Workspace(tmp_path / "outputs")
    assert resume(other, tmp_path, "x", work) == (3, None)
    assert torch.equal(torch.rand(3), drawn)
    assert other.model.lm_head.weight is other.model.model.embed_tokens.weight
    for backend in (one, other):
        for parameter in backend.model.parameters():
            parameter.grad = torch.cos(parameter.detach() * 30)
        backend.optimizer.step()
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)
    assert not any(path.suffix in {".pt", ".pkl", ".bin"} for path in tmp_path.rglob("*"))


def test_a_checkpoint_of_another_kind_of_device_is_named_and_goes_on(policy_dir, tmp_path, monkeypatch, caplog) -> None:
    backend = make(policy_dir)
    save(backend, tmp_path, "x", {}, 3)
    work = Workspace(tmp_path / "outputs")
    assert resume(backend, tmp_path, "x", work) == (3, None)
    assert "was made on" not in caplog.text
    monkeypatch.setattr(checkpoint, "device_kind", lambda: "NVIDIA Z9")
    assert resume(backend, tmp_path, "x", work) == (3, None)
    assert re.search(r"step=00003 was made on CPU, \w+, and this is NVIDIA Z9: the run goes on", caplog.text)


def test_the_last_two_are_kept_and_the_same_state_gives_the_same_bytes(policy_dir, tmp_path) -> None:
    backend = make(policy_dir)
    for step in (2, 4, 6):
        save(backend, tmp_path / "a", "x", {}, step)
    assert [path.name for path in checkpoints(tmp_path / "a")] == ["step=00006", "step=00004"]
    again = save(backend, tmp_path / "b", "x", {}, 6)
    files = [path for path in again.rglob("*") if path.is_file()]
    assert len(files) == 5
    for path in files:
        assert path.read_bytes() == (tmp_path / "a" / again.name / path.relative_to(again)).read_bytes()


def test_a_watcher_hears_of_each_file_that_is_checked_or_copied_and_of_each_manifest(tmp_path) -> None:
    """A run's policies and logs are many gigabytes, and a watchdog ends what says nothing for some minutes."""
    beats: list[str] = []
    work = Workspace(tmp_path / "outputs", lambda: beats.append(""))
    names = [f"policy/step=0000{step}/model.safetensors" for step in (1, 2)] + ["metrics/a.json", "tokenlog/b.json"]
    for name in names:
        (work.root / name).parent.mkdir(parents=True)
        (work.root / name).write_text(name)
    work.add(work.root / name for name in names)
    assert work.damaged(work.files) is None
    assert len(beats) == 4
    work.publish({part: tmp_path / "out" / part for part in ("policy", "metrics", "tokenlog")})
    assert len(beats) == 4 + 4 + 3
    assert [(tmp_path / "out" / name).read_text() for name in names] == names


@pytest.mark.parametrize(
    "name", ["actor/model.safetensors", "actor/optimizer.safetensors", "state.json", "manifest.json"]
)
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damage_is_found_and_named(policy_dir, tmp_path, name, damage) -> None:
    backend = make(policy_dir, 1)
    path = save(backend, tmp_path, "x", {}, 1)
    file = path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    with pytest.raises(DamagedError, match=r"step=00001.*(damaged|missing)"):
        read_state(backend, path, "x")


def test_a_half_written_checkpoint_is_not_one(policy_dir, tmp_path, monkeypatch) -> None:
    def killed(*_):
        raise KeyboardInterrupt

    backend = make(policy_dir, 1)
    with monkeypatch.context() as patch:
        patch.setattr("tokenspectrum.training.checkpoint.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save(backend, tmp_path, "x", {}, 1)
    assert checkpoints(tmp_path) == []
    assert [save(backend, tmp_path, "x", {}, 1)] == checkpoints(tmp_path)


def test_a_checkpoint_of_another_policy_changes_nothing(policy_dir, tmp_path) -> None:
    backend = make(policy_dir, 1)
    model, optimizer = backend.model, backend.optimizer
    saved = tensors_of(model, optimizer)
    before = {name: value.clone() for name, value in model_tensors(model).items()}
    wrong = dict(saved["model"])
    wrong["model.norm.weight"] = torch.zeros(5)
    for other in (wrong, {**saved["model"], "extra": torch.zeros(1)}):
        with pytest.raises(DamagedError, match="not this policy's"):
            restore(model, optimizer, {**saved, "model": other})
    assert all(torch.equal(value, before[name]) for name, value in model_tensors(model).items())


def test_a_full_disk_is_an_os_error_and_leaves_no_checkpoint(policy_dir, tmp_path, monkeypatch) -> None:
    backend = make(policy_dir, 1)
    model, tokenizer = backend.model, backend.tokenizer

    def full_in_safetensors(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensors, "save_file", full_in_safetensors)
    monkeypatch.setattr(model, "save_pretrained", full_in_safetensors)
    for write in (
        lambda: save(backend, tmp_path / "checkpoints", "x", {}, 1),
        lambda: save_policy(model, tokenizer, tmp_path / "policy"),
    ):
        with pytest.raises(OSError, match="No space left") as e:
            write()
        assert e.value.errno == errno.ENOSPC
    assert checkpoints(tmp_path / "checkpoints") == []
    assert not (tmp_path / "policy").exists()
