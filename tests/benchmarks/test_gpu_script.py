"""benchmarks/gpu.sh on a machine without a GPU: it goes as far as it can and names what it did not measure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("triton")


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the script measures for eight minutes")
def test_without_a_gpu_each_part_runs_small_or_says_that_it_was_not_measured(tmp_path):
    before = {path: path.read_bytes() for path in (ROOT / "benchmarks").rglob("*.csv")}
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(
        ["bash", "benchmarks/gpu.sh"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(line.startswith("done: ") for line in lines) == 3
    left_out = [line for line in lines if line.startswith("not measured: ")]
    assert len(left_out) == 7
    assert all(line.endswith(": no GPU") for line in left_out)
    assert any(line.startswith("check  attention entropy bfloat16") for line in lines)
    assert any(line.startswith("train  gradient, relative difference from the CPU's  0") for line in lines)
    assert before == {path: path.read_bytes() for path in (ROOT / "benchmarks").rglob("*.csv")}


def test_with_a_gpu_every_part_is_asked_for_and_one_that_fails_is_named(tmp_path):
    """A stand-in for the interpreter that says yes to every question, and fails at the tiles."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "asked: $*"\n[ "$4" != "--seconds" ] || exit 3\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["bash", "benchmarks/gpu.sh", str(tmp_path / "out")],
        cwd=ROOT,
        env=os.environ | {"PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    asked = [line.split() for line in lines if line.startswith("asked: ")]
    assert [words[2:4] for words in asked if words[2] == "benchmarks.gpu"] == [
        ["benchmarks.gpu", part] for part in ("check", "scoring", "train")
    ]
    runs = [words for words in asked if words[2:4] == ["benchmarks.entropy", "run"]]
    assert [words[words.index("--parts") + 1] for words in runs] == ["attention", "predictive", "attention", "forward"]
    assert all(words[words.index("--csv") + 1].startswith(str(tmp_path / "out")) for words in asked)
    assert sum(line.startswith("done: ") for line in lines) == 7
    assert [line for line in lines if line.startswith("not measured")] == [
        "not measured: tiles: it ended with 3, see above"
    ]
    assert done.returncode == 1


def test_a_missing_library_is_one_line(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    done = subprocess.run(
        ["bash", "benchmarks/gpu.sh"],
        cwd=ROOT,
        env=os.environ | {"PYTHON": str(bare)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout.splitlines() == [f"gpu.sh: not installed for {bare}: torch triton transformers"]
