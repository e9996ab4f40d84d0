"""The policy stage end to end on a micro policy: outputs, determinism, held-out problems, the check, the hub kind."""

import contextlib
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from kit.files import tree
from kit.tables import write_questions
from transformers import AutoModelForCausalLM

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import PARAMS_ENV
from tokenspectrum.params.policy import HubPolicy
from tokenspectrum.policy import hub
from tokenspectrum.policy.load import load_policy
from tokenspectrum.prompts.synthetic import STAND_INS, make_benchmark
from tokenspectrum.stages import policy
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.sigterm import NOTHING_NEW
from tokenspectrum.tables.vocab import SCHEMA as VOCAB
from tokenspectrum.tokenlog.reader import check_folder, read_file

MICRO: dict[str, Any] = {
    "kind": "tiny",
    "shape": {
        "layers": 2,
        "hidden": 16,
        "heads": 2,
        "kv_heads": 1,
        "head_dim": 32,
        "intermediate": 16,
        "max_positions": 512,
        "init_std": 0.1,
        "qk_norm": 1.5,
    },
    "corpus": {
        "k_max": 3,
        "k_mean": 1.0,
        "guess": 0.3,
        "guess_per_step": 0.0,
        "unboxed": 0.1,
        "large": 0.1,
        "guess_from": 0.0,
    },
    "training": {
        "steps": 4,
        "batch": 4,
        "lr": 4e-3,
        "warmup": 1,
        "decay": 0.5,
        "beta2": 0.98,
        "weight_decay": 0.01,
    },
    "check": None,
}
CHECK = {
    "samples": 2,
    "temperature": 1.0,
    "top_p": 0.7,
    "max_response_tokens": 8,
    "ranges": [{"benchmark": "math", "low": 0.5, "high": 0.9}, {"benchmark": "aime24", "low": 0.2, "high": 0.4}],
    "min_gap": 0.05,
    "guess_floor": 0.1,
    "floor_errors": 3.0,
}


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("benchmarks")
    return write_questions(root, {name: make_benchmark(name, 4, seed=0) for name in STAND_INS}, "test")


def run_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmarks: Path, params: dict[str, Any], base: int = 0
) -> Path:
    tmp_path.mkdir(parents=True, exist_ok=True)
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"policy": params}))
    monkeypatch.setenv(PARAMS_ENV, str(file))
    out = tmp_path / "out"
    flags = {"benchmarks": benchmarks, "out": out / "policy", "vocab": out / "vocab", "report": out / "report.json"}
    policy.main(["--base", str(base), *(part for flag, path in flags.items() for part in (f"--{flag}", str(path)))])
    return out


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory, benchmarks: Path) -> Path:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return run_stage(tmp_path_factory.mktemp("micro"), monkeypatch, benchmarks, MICRO)


def test_it_writes_a_policy_that_transformers_loads_and_of_the_shape_that_vllm_needs(micro: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(micro / "policy")
    config = json.loads((micro / "policy/config.json").read_text())
    _, tokenizer = load_policy(micro / "policy")
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert config["use_cache"] is True
    assert config["tie_word_embeddings"] is True
    assert config["head_dim"] == 32
    assert config["vocab_size"] == len(tokenizer)
    assert config["eos_token_id"] == tokenizer.eos_token_id
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert tokenizer.chat_template
    weights = [p.name for p in (micro / "policy").iterdir() if p.suffix in (".safetensors", ".bin", ".pt")]
    assert weights == ["model.safetensors"]
    assert (micro / "policy/model.safetensors").stat().st_mode & 0o044 == 0o044


def test_vocab_and_report(micro: Path) -> None:
    report = json.loads((micro / "report.json").read_text())
    vocab = read_file(micro / "vocab/vocab.parquet", VOCAB)
    check_folder(micro / "vocab")
    assert report["vocab_size"] == vocab.num_rows
    assert report["layers"] == 2
    assert report["held_out"] == 16
    assert report["benchmarks"] is None
    assert set(vocab["policy"].to_pylist()) == {"tiny"}


def test_nothing_but_content_is_in_the_outputs(micro: Path) -> None:
    text = (
        "".join(p.read_text(errors="ignore") for p in (micro / "policy").glob("*.json"))
        + (micro / "report.json").read_text()
    )
    assert "transformers_version" not in text
    assert str(micro) not in text
    assert sorted(p.name for p in micro.iterdir()) == ["policy", "report.json", "vocab"]


def test_same_base_same_bytes_and_another_base_other_weights(
    micro: Path, benchmarks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(12345)  # what ran before must not matter
    again = run_stage(tmp_path / "again", monkeypatch, benchmarks, MICRO)
    other = run_stage(tmp_path / "other", monkeypatch, benchmarks, MICRO, base=1)
    assert tree(again) == tree(micro)
    changed = {name for name, digest in tree(other).items() if tree(micro)[name] != digest}
    # Every base policy of a preset has the same vocabulary: the database shows the first one's.
    assert changed == {"policy/model.safetensors", "report.json"}
    assert [json.loads((root / "report.json").read_text())["base"] for root in (micro, other)] == [0, 1]


def test_a_policy_outside_its_range_fails_and_leaves_nothing(
    benchmarks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"policy\.check: .* math 0\.000 is outside 0\.5 to 0\.9"):
        run_stage(tmp_path, monkeypatch, benchmarks, MICRO | {"check": CHECK})
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_policy_inside_its_range_reports_its_scores(
    benchmarks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = [{"benchmark": name, "low": 0, "high": 1} for name in ("math", "aime24")]
    wide = {"ranges": ranges, "min_gap": -1, "guess_floor": 0.0, "floor_errors": 0.0}
    out = run_stage(tmp_path, monkeypatch, benchmarks, MICRO | {"check": CHECK | wide})
    assert set(json.loads((out / "report.json").read_text())["benchmarks"]) == {"math", "aime24"}


def test_a_check_of_an_unknown_benchmark_fails_before_training(
    benchmarks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "make_tiny", lambda *a: pytest.fail("trained"))
    unknown = [{"benchmark": "aime25", "low": 0, "high": 1}]
    with pytest.raises(UserError, match="names aime25, but the benchmarks are aime24, math"):
        run_stage(tmp_path, monkeypatch, benchmarks, MICRO | {"check": CHECK | {"ranges": unknown}})


def test_benchmark_problems_are_held_out(benchmarks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(
        policy, "train_tiny", lambda params, seed, tokenizer, held_out, on_step: seen.update(held_out=held_out) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        run_stage(tmp_path, monkeypatch, benchmarks, MICRO)
    assert seen["held_out"] == {p.text for name in STAND_INS for p in make_benchmark(name, 4, seed=0)}


def test_the_hub_kind_takes_a_folder_as_it_is(
    micro: Path, benchmarks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"kind": "hub", "source": str(micro / "policy"), "revision": None, "num_layers": 2, "check": None}
    out = run_stage(tmp_path, monkeypatch, benchmarks, params)
    assert tree(out / "policy") == tree(micro / "policy")
    report = json.loads((out / "report.json").read_text())
    assert report["source"] == "policy"
    assert report["reserved_tokens"] == 0
    assert str(micro) not in (out / "report.json").read_text()


def test_a_download_that_is_stopped_waits_for_none_of_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As snapshot_download has them: eight files at once, each for as long as it takes."""
    ready, says = os.pipe()

    def download(*_: Any, **__: Any) -> str:
        with ThreadPoolExecutor(8) as pool:
            waits = [pool.submit(time.sleep, 30) for _ in range(8)]
            os.write(says, b"1")
            return str([one.result() for one in waits])

    monkeypatch.setattr(hub, "snapshot_download", download)
    wanted = HubPolicy(kind="hub", source="some/policy", revision="0" * 40, num_layers=1)
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            run(lambda: hub.fetch_checkpoint(wanted), computes=False)
        os._exit(99)
    os.read(ready, 1)
    began = time.monotonic()
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    assert time.monotonic() - began < 20
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: "here")
    assert hub.fetch_checkpoint(wanted) == Path("here")
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_stage_leaves_at_most_one_unfinished_policy(
    benchmarks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: signal.Signals
) -> None:
    """Stopped between the policy and its vocabulary, more than once, and then run to its end."""

    def stop(*_: Any) -> None:
        os.kill(os.getpid(), by)
        time.sleep(60)

    def stopped() -> int:
        if child := os.fork():
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        policy.write_vocab = stop
        try:
            run(lambda: run_stage(tmp_path, monkeypatch, benchmarks, MICRO))
        except SystemExit as e:
            os._exit(int(e.code or 0))
        os._exit(99)

    assert {stopped() for _ in range(2)} == {NOTHING_NEW if by == signal.SIGTERM else -by}
    left = [path for path in (tmp_path / "out").iterdir() if (path / "policy/model.safetensors").exists()]
    assert len(left) == (0 if by == signal.SIGTERM else 1)
    out = run_stage(tmp_path, monkeypatch, benchmarks, MICRO)
    assert sorted(path.name for path in out.iterdir()) == ["policy", "report.json", "vocab"]
