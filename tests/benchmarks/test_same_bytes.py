"""benchmarks/same_bytes.py on two toy checkouts: what it calls a difference, what it lets pass, and how it fails."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import same_bytes

DVC_YAML = """
stages:
  train:
    matrix: {seed: "${seeds}"}
    cmd: ./train ${item.seed}
    outs:
    - artifacts/${preset}/train/s${item.seed}
    - artifacts/${preset}/metrics/s${item.seed}.json
  table:
    cmd: ./table
    outs: [results/table.csv]
"""
# Stand-ins for both commands, in the checkout's own environment.
SNAKEMAKE = """#!/bin/sh
mkdir -p results && cat src/says > results/table.csv && echo "$PYTHONPATH $*" > called
"""
SPECTRUM = """#!/bin/sh
sed -i "s/^preset: .*/preset: $2/" params.yaml
"""


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A checkout with all of its outputs."""
    root = tmp_path / "before"
    write(root, ".dvc/config", "")
    write(root, ".dvcignore", ".snakemake_timestamp\n")
    write(root, "dvc.yaml", DVC_YAML)
    write(root, "params.yaml", "preset: toy\nseeds: [1, 2]\n")
    write(root, "src/says", "one,2\n")
    for seed in (1, 2):
        write(root, f"artifacts/toy/train/s{seed}/weights.bin", f"weights {seed}")
        write(root, f"artifacts/toy/train/s{seed}/log/step.txt", "1\n")
        write(root, f"artifacts/toy/metrics/s{seed}.json", "{}")
    write(root, "results/table.csv", "one,2\n")
    return root


@pytest.fixture
def after(before: Path) -> Path:
    """The same outputs, made by code of another layout."""
    root = before.with_name("after")
    shutil.copytree(before, root)
    write(root, "code/moved.py", "")
    return root


@pytest.fixture
def compare(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[list[str]], str]]:
    """Run it: exit code, the printed lines' fields, and stderr."""

    def run(*args: object) -> tuple[int, list[list[str]], str]:
        with pytest.raises(SystemExit) as end:
            sys.exit(same_bytes.main([*map(str, args), "--preset", "toy"]))
        out, error = capfd.readouterr()
        return end.value.code, [line.split("\t") for line in out.splitlines()], error

    return run


def test_equal_outputs_are_said_to_be_equal(compare, before: Path, after: Path) -> None:
    write(after, "artifacts/toy/train/s1/.snakemake_timestamp", "not part of it")
    write(after, "artifacts/toy/of-nobody.txt", "no stage makes it")
    assert compare(before, after) == (0, [["5 outputs of preset toy compared, 0 differ"]], "")


def test_a_changed_byte_is_named_with_the_file_that_holds_it(compare, before: Path, after: Path) -> None:
    write(after, "artifacts/toy/train/s2/weights.bin", "weights 3")
    code, rows, _ = compare(before, after)
    assert code == 1
    out, file, total = rows
    assert out[0] == "artifacts/toy/train/s2"
    assert out[1] != out[2]
    # The MD5s of "weights 2" and "weights 3".
    assert file[0].strip() == "artifacts/toy/train/s2/weights.bin"
    assert file[1:] == ["a27a484d97e2d92d80f8bebe34f2cbbe", "efd6dc56b88835b3f1db2c0e870885b4"]
    assert total == ["5 outputs of preset toy compared, 1 differ"]


def test_a_file_that_moved_within_a_folder_is_a_difference(compare, before: Path, after: Path) -> None:
    out = "artifacts/toy/train/s1"
    folder = after / out
    (folder / "log/step.txt").rename(folder / "step.txt")
    code, rows, _ = compare(before, after)
    assert code == 1
    assert [(r[0].rsplit("s1", 1)[1], "-" in r) for r in rows[:-1]] == [
        ("", False),
        ("/log/step.txt", True),
        ("/step.txt", True),
    ]


def test_an_output_that_is_gone_differs_and_a_new_one_does_not(compare, before: Path, after: Path) -> None:
    (after / "results/table.csv").unlink()
    code, rows, _ = compare(before, after)
    assert code == 1
    assert rows[0][::2] == ["results/table.csv", "-"]
    code, rows, _ = compare(after, before)
    assert code == 0
    assert rows[0][:2] == ["results/table.csv", "-"]


def test_outputs_of_another_preset_are_not_compared(compare, before: Path, after: Path) -> None:
    write(after, "params.yaml", "preset: other\nseeds: [1, 2]\n")
    code, rows, error = compare(before, after)
    assert (code, rows) == (2, [])
    assert "of preset other, not toy; add --run, or give --preset other" in error


def test_nothing_to_compare_is_no_success(compare, before: Path, after: Path) -> None:
    shutil.rmtree(after / "artifacts")
    shutil.rmtree(after / "results")
    code, rows, error = compare(before, after)
    assert (code, rows) == (2, [])
    assert "run them first" in error


def test_a_folder_that_is_no_checkout_is_one_line(compare, before: Path, tmp_path: Path) -> None:
    code, _, error = compare(before, tmp_path)
    assert code == 2
    assert error.count("\n") == 1
    assert "no checkout" in error


def test_run_makes_the_targets_with_each_checkouts_own_code(compare, before: Path, after: Path) -> None:
    write(after, "src/says", "one,3\n")
    for root in (before, after):
        write(root, "params.yaml", "preset: other\nseeds: [1, 2]\n")
        for name, text in (("snakemake", SNAKEMAKE), ("spectrum", SPECTRUM)):
            write(root, f".venv/bin/{name}", text)
            (root / ".venv/bin" / name).chmod(0o755)
    code, rows, _ = compare(before, after, "--run", "results/table.csv")
    assert code == 1
    assert rows[0][0] == "results/table.csv"
    assert (after / "called").read_text() == f"{after / 'src'} --profile local results/table.csv\n"


def test_a_run_that_fails_ends_the_comparison(compare, before: Path, after: Path) -> None:
    write(after, ".venv/bin/spectrum", "#!/bin/sh\nexit 1\n")
    write(before, ".venv/bin/spectrum", "#!/bin/sh\nexit 1\n")
    for root in (before, after):
        (root / ".venv/bin/spectrum").chmod(0o755)
    code, rows, error = compare(before, after, "--run")
    assert (code, rows) == (2, [])
    assert "spectrum preset toy --force failed" in error
