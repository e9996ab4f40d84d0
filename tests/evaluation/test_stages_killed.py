"""Stages that are killed between two parts go on after the last one, and leave the bytes of an uninterrupted run."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.files import tree
from kit.policy import write_boxes
from kit.stages import BASE, run_rollouts, write_params
from kit.tables import sums, write_questions

from tokenspectrum.rollout import parts
from tokenspectrum.stages import evaluate, evaluate_base, sample, tokens

# One prompt of sampling, two problems of evaluation and three responses of measuring are a part.
SYSTEMS = {"generate_batch": 4, "micro_batch": 3}
EVALUATE = {"samples": 4, "steps": [2, "final"]}
FLAGS = {
    sample: {"prompts": Path("prompts"), "policy": Path("policy"), "base": BASE, "shard": 1},
    tokens: {"rollouts": Path("rollouts"), "policy": Path("policy")},
    evaluate: {"benchmarks": Path("benchmarks"), "policy": Path("trained"), "run": "method", "seed": 1},
    evaluate_base: {"benchmarks": Path("benchmarks"), "policy": Path("policy"), "seed": 1},
}
STAGES = pytest.mark.parametrize("stage", FLAGS, ids=lambda stage: stage.__name__.rpartition(".")[2])


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("home")
    write_boxes(root / "policy")
    for step in (2, 10):
        write_boxes(root / f"trained/step={step:05d}", seed=step)
    write_questions(root / "prompts", {"train": sums(12)})
    write_questions(root / "benchmarks", {"MATH": sums(5), "AIME24": sums(3, first=20)}, split="test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNAKEDVC_PARAMS", str(write_params(root / "params.yaml", systems=SYSTEMS, evaluate=EVALUATE)))
        patch.delenv("SNAKEDVC_CHECKPOINT_DIR", raising=False)
        run_rollouts(root, root / "rollouts")
    return root


@pytest.fixture(autouse=True)
def params(home, monkeypatch) -> None:
    monkeypatch.delenv("SNAKEDVC_LOG_DIR", raising=False)
    monkeypatch.setenv("SNAKEDVC_PARAMS", str(home / "params.yaml"))


def command(stage, home: Path, out: Path) -> list[str]:
    second = {tokens: "attention", evaluate: "samples", evaluate_base: "samples"}.get(stage)
    words = ["--out", str(out / "out")] + ([f"--{second}", str(out / second)] if second else [])
    for flag, value in FLAGS[stage].items():
        words += [f"--{flag}", str(home / value if isinstance(value, Path) else value)]
    return words


def in_a_process(job: Callable[[], None]) -> int:
    """Run `job` in a child, and give its end as os.waitpid does."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        job()
    except SystemExit as e:
        os._exit(int(e.code or 0))
    except BaseException:
        os._exit(99)
    os._exit(0)


def run_stage(stage, home: Path, root: Path, *, after: int | None = None, by: int = signal.SIGKILL) -> int:
    """The stage in a process of its own; it gets signal `by` right after its part number `after`."""

    def job() -> None:
        os.environ["SNAKEDVC_CHECKPOINT_DIR"] = str(root / "ckpt")
        write, written = parts._write, []

        def count(folder: Path, items: list[int], payload: bytes) -> None:
            write(folder, items, payload)
            written.append(items)
            with (root / "made").open("a") as f:
                f.write(json.dumps([folder.name, items]) + "\n")
            if len(written) == after:
                os.kill(os.getpid(), by)

        parts._write = count
        stage.main(command(stage, home, root))

    root.mkdir(exist_ok=True)
    return in_a_process(job)


def outputs(root: Path) -> dict[str, str]:
    return {name: digest for name, digest in tree(root).items() if not name.startswith(("ckpt/", "made"))}


def made(root: Path) -> list[str]:
    return (root / "made").read_text().splitlines()


@STAGES
def test_a_killed_stage_goes_on_after_its_last_part(stage, home, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_stage(stage, home, whole) == 0
    assert len(made(whole)) >= 4
    ends = [run_stage(stage, home, killed, after=after) for after in (1, 2)]
    assert ends == [signal.SIGKILL, signal.SIGKILL]
    assert not (killed / "out/manifest.json").exists()
    assert run_stage(stage, home, killed) == 0
    assert outputs(killed) == outputs(whole)
    assert made(killed) == made(whole)  # each part once, although it began three times


@STAGES
def test_what_is_kept_is_enough_for_the_end(stage, home, tmp_path):
    assert run_stage(stage, home, tmp_path / "a") == 0
    before = outputs(tmp_path / "a")
    shutil.rmtree(tmp_path / "a/out")
    count = len(made(tmp_path / "a"))
    assert run_stage(stage, home, tmp_path / "a") == 0
    assert (outputs(tmp_path / "a"), len(made(tmp_path / "a"))) == (before, count)


@STAGES
def test_sigterm_ends_a_stage_with_what_it_kept(stage, home, tmp_path):
    assert run_stage(stage, home, tmp_path / "whole") == 0
    end = run_stage(stage, home, tmp_path / "stopped", after=2, by=signal.SIGTERM)
    assert os.waitstatus_to_exitcode(end) == 75
    assert run_stage(stage, home, tmp_path / "stopped") == 0
    assert outputs(tmp_path / "stopped") == outputs(tmp_path / "whole")
    assert made(tmp_path / "stopped") == made(tmp_path / "whole")


@STAGES
def test_a_part_of_another_policy_is_not_used_and_a_damaged_one_is_made_again(stage, home, tmp_path):
    root = tmp_path / "a"
    assert run_stage(stage, home, root, after=2) == signal.SIGKILL
    ready = {path.read_bytes() for path in (root / "ckpt").rglob("part-*")}
    assert len(ready) == 2
    other = tmp_path / "other"
    shutil.copytree(home, other)
    for policy in [path.parent for path in other.rglob("model.safetensors")]:
        write_boxes(policy, seed=77)
    assert run_stage(stage, other, tmp_path / "fresh") == 0
    assert run_stage(stage, other, root) == 0  # in a folder where the first policy's parts are
    assert outputs(root) == outputs(tmp_path / "fresh")
    assert made(root)[2:] == made(tmp_path / "fresh")

    damaged = min((root / "ckpt").rglob("part-*"))
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 1
    damaged.write_bytes(content)
    before = len(made(root))
    shutil.rmtree(root / "out")
    source = home if json.loads(made(root)[0])[0] == damaged.parent.name else other
    assert run_stage(stage, source, root) == 0
    assert run_stage(stage, source, tmp_path / "again") == 0
    assert outputs(root) == outputs(tmp_path / "again")
    assert len(made(root)) > before
    assert damaged.read_bytes() != content


def test_without_a_folder_nothing_is_kept_and_a_smaller_batch_uses_what_is(home, tmp_path, monkeypatch):
    sample.main(command(sample, home, tmp_path / "bare"))
    assert run_stage(sample, home, tmp_path / "a", after=2) == signal.SIGKILL
    monkeypatch.setenv("SNAKEDVC_PARAMS", str(write_params(tmp_path / "p.yaml", systems={"generate_batch": 8})))
    assert run_stage(sample, home, tmp_path / "a") == 0
    items = [json.loads(line)[1] for line in made(tmp_path / "a")]
    assert items == [[0], [1], [2, 3], [4]]
    assert {p.name for p in (tmp_path / "bare").iterdir()} == {"out"}
