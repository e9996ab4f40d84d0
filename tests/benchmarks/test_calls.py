"""What no ordinary test runs, benchmarks and the tests of a cluster, calls functions as they are now: ty reads it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A name that a module lacks, a call that does not fit the function, and an attribute that a value lacks.
CALLS = "missing-module-member|missing-argument|too-many-positional-arguments|unknown-argument"
ATTRIBUTES = f"{CALLS}|missing-attribute"
OURS = r"\[import-not-found\].*(tokenspectrum|snakedvc)"


def wrong(rules: str, *folders: str) -> list[str]:
    """What ty finds of these rules in files of these folders, a line each."""
    kits = [f"--extra-search-path=tests/{kit}" for kit in ("pipeline", "slurm", "bridge", "cluster")]
    ty = [str(Path(sys.prefix) / "bin/ty"), "check", f"--python={sys.prefix}", "--output-format=concise"]
    done = subprocess.run([*ty, *kits, *folders], cwd=ROOT, capture_output=True, text=True, check=False)
    assert re.search(r"^(Found \d+ diagnostics?|All checks passed!)$", done.stdout, re.MULTILINE), done.stderr
    return [line for line in done.stdout.splitlines() if re.search(rf"\[({rules})\]|{OURS}", line)]


def test_benchmarks_call_functions_as_they_are():
    assert wrong(ATTRIBUTES, "benchmarks") == []


def test_tests_of_a_cluster_call_functions_as_they_are():
    assert wrong(CALLS, "tests/cluster", "tests/slurm") == []


def test_a_call_that_does_not_fit_is_found(tmp_path):
    file = tmp_path / "calls.py"
    file.write_text(
        "from tokenspectrum.rollout.padded import micro_batches\n"
        "from tokenspectrum.systems.ray.launch import supervise\n"
        "supervise([], None, None, None)\n"
        "[part.ids_BT for part in micro_batches([], 8)]\n"
        "from tokenspectrum.rollout.padded import gone\n"
        "from tokenspectrum.rollout.gone import padded\n"
        "from of_others import gone\n"
    )
    found = [re.search(r":(\d+):.*?\[(.*?)\]", line).groups() for line in wrong(ATTRIBUTES, str(file))]
    assert found == [
        ("3", "missing-argument"),
        ("4", "missing-attribute"),
        ("5", "missing-module-member"),
        ("6", "import-not-found"),
    ]
