"""Checkpoints: bit for bit, whole or not there, and never a pickle."""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.save import save_policy
from tokenspectrum.training.backends.local.checkpoint import (
    Checkpoint,
    DamagedError,
    checkpoints,
    load_checkpoint,
    model_tensors,
    optimizer_tensors,
    restore,
    save_checkpoint,
)


def make(policy_dir, steps: int = 3):
    """A policy and an optimiser after a few steps down a made-up slope."""
    model, _ = load_policy(policy_dir)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for step in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.sin(parameter.detach() * 50 + step)
        optimizer.step()
    return model, optimizer


def checkpoint_of(model, optimizer, step: int) -> Checkpoint:
    tensors = {"model": model_tensors(model), "optimizer": optimizer_tensors(model, optimizer)}
    return Checkpoint(step, {"identity": "x", "files": {}}, tensors)


def test_restored_training_goes_on_bit_for_bit(policy_dir, tmp_path) -> None:
    model, optimizer = make(policy_dir)
    path = save_checkpoint(tmp_path, checkpoint_of(model, optimizer, 3))
    other, fresh = make(policy_dir, steps=0)
    loaded = load_checkpoint(path)
    assert (loaded.step, loaded.state) == (3, {"identity": "x", "files": {}})
    restore(other, fresh, loaded)
    assert other.lm_head.weight is other.model.embed_tokens.weight
    for a, b in ((model, optimizer), (other, fresh)):
        for parameter in a.parameters():
            parameter.grad = torch.cos(parameter.detach() * 30)
        b.step()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))
    assert not any(path.suffix in {".pt", ".pkl", ".bin"} for path in tmp_path.rglob("*"))


def test_the_last_two_are_kept_and_the_same_state_gives_the_same_bytes(policy_dir, tmp_path) -> None:
    model, optimizer = make(policy_dir)
    for step in (2, 4, 6):
        save_checkpoint(tmp_path / "a", checkpoint_of(model, optimizer, step))
    assert [path.name for path in checkpoints(tmp_path / "a")] == ["step=00006", "step=00004"]
    again = save_checkpoint(tmp_path / "b", checkpoint_of(model, optimizer, 6))
    for path in again.iterdir():
        assert path.read_bytes() == (tmp_path / "a" / again.name / path.name).read_bytes()


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damage_is_found_and_named(policy_dir, tmp_path, name, damage) -> None:
    path = save_checkpoint(tmp_path, checkpoint_of(*make(policy_dir, 1), 1))
    file = path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    with pytest.raises(DamagedError, match=r"step=00001.*(damaged|missing)"):
        load_checkpoint(path)


def test_a_half_written_checkpoint_is_not_one(policy_dir, tmp_path, monkeypatch) -> None:
    def killed(*_):
        raise KeyboardInterrupt

    checkpoint = checkpoint_of(*make(policy_dir, 1), 1)
    with monkeypatch.context() as patch:
        patch.setattr("tokenspectrum.training.backends.local.checkpoint.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, checkpoint)
    assert checkpoints(tmp_path) == []
    assert [save_checkpoint(tmp_path, checkpoint)] == checkpoints(tmp_path)


def test_a_checkpoint_of_another_policy_changes_nothing(policy_dir, tmp_path) -> None:
    model, optimizer = make(policy_dir, 1)
    loaded = load_checkpoint(save_checkpoint(tmp_path, checkpoint_of(model, optimizer, 1)))
    before = {name: value.clone() for name, value in model_tensors(model).items()}
    wrong = dict(loaded.tensors["model"])
    wrong["model.norm.weight"] = torch.zeros(5)
    for tensors in (wrong, {**loaded.tensors["model"], "extra": torch.zeros(1)}):
        with pytest.raises(DamagedError, match="step 1"):
            restore(model, optimizer, Checkpoint(1, {}, {**loaded.tensors, "model": tensors}))
    assert all(torch.equal(value, before[name]) for name, value in model_tensors(model).items())


def test_a_full_disk_is_an_os_error_and_leaves_no_checkpoint(policy_dir, tmp_path, monkeypatch) -> None:
    model, optimizer = make(policy_dir, 1)
    _, tokenizer = load_policy(policy_dir)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_in_safetensors(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(model, "save_pretrained", full_in_safetensors)
    for save in (
        lambda: save_checkpoint(tmp_path / "checkpoints", checkpoint_of(model, optimizer, 1)),
        lambda: save_policy(model, tokenizer, tmp_path / "policy"),
    ):
        with pytest.raises(OSError, match="No space left") as e:
            save()
        assert e.value.errno == errno.ENOSPC
    assert checkpoints(tmp_path / "checkpoints") == []
    assert not (tmp_path / "policy").exists()
