"""When verl moves, one test says what moved; and nothing but internals.py reaches into verl."""

import ast
import inspect
from pathlib import Path

import pytest

import tokenspectrum.training.backends.verl as package
from tokenspectrum.errors import UserError
from tokenspectrum.training.backends.verl import controller, engine, internals, reward, worker

# The platform of CPU trials is patches of verl by its nature, and lists them itself.
MAY_IMPORT_VERL = {"internals.py", "platform_cpu.py"}
OWN = {
    engine.AttentionEngine: internals.FSDPEngineWithLMHead,
    worker.PolicyWorker: internals.ActorRolloutRefWorker,
    controller.VerlTrainer: internals.PPOTrainerSync,
    reward.BoxedRewardManager: internals.RewardManagerBase,
}


def test_the_installed_verl_is_the_pinned_one():
    internals.check_pins()


def test_another_version_is_one_clear_line():
    with pytest.raises(UserError, match=r"verl 0\.10\.0 is installed, .* 0\.9\.1; .*docs/verl\.md") as e:
        internals.check_pins(version="0.10.0")
    assert "\n" not in str(e.value)


def test_a_changed_signature_is_named():
    moved = {internals.ActorRolloutRefWorker.compute_log_prob: ("self", "batch", "mode")}
    with pytest.raises(UserError, match=r"ActorRolloutRefWorker\.compute_log_prob takes \('self', 'data'\), not"):
        internals.check_pins(moved)


def test_nothing_else_imports_verl():
    for file in sorted(Path(package.__file__).parent.glob("*.py")):
        names = []
        for node in ast.walk(ast.parse(file.read_text())):
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        reaches = [name for name in names if name.split(".")[0] == "verl"]
        assert not reaches or file.name in MAY_IMPORT_VERL, (file.name, reaches)


@pytest.mark.parametrize("cls", OWN)
def test_what_is_overridden_is_pinned(cls):
    """Every method of verl's that a class of ours replaces has its signature in internals.SIGNATURES."""
    theirs = OWN[cls]
    pinned = {function.__qualname__.rpartition(".")[2] for function in internals.SIGNATURES}
    for name, value in vars(cls).items():
        if inspect.isfunction(value) and hasattr(theirs, name) and not name.startswith("__"):
            assert name in pinned, f"{cls.__name__}.{name} overrides verl's but is not pinned"


def test_the_engine_is_found_under_our_vendor(monkeypatch):
    monkeypatch.setenv(internals.VENDOR_ENV, internals.VENDOR)
    for device in ("cpu", "cuda"):
        monkeypatch.setenv("VERL_ENGINE_DEVICE", device)
        found = internals.EngineRegistry.get_engine_cls("language_model", "fsdp2")
        assert found is engine.AttentionEngine
