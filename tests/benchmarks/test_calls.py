"""What no ordinary test runs, benchmarks and the tests of a cluster, calls functions as they are now: ty reads it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A call that does not fit the function, and an attribute that what comes back does not have.
CALLS = "missing-argument|too-many-positional-arguments|unknown-argument|unresolved-import"
ATTRIBUTES = f"{CALLS}|missing-attribute"


def wrong(rules: str, *folders: str) -> list[str]:
    """What ty finds of these rules in files of these folders, a line each."""
    kits = [f"--extra-search-path=tests/{kit}" for kit in ("pipeline", "slurm", "bridge", "cluster")]
    ty = [str(Path(sys.prefix) / "bin/ty"), "check", f"--python={sys.prefix}", "--output-format=concise"]
    done = subprocess.run([*ty, *kits, *folders], cwd=ROOT, capture_output=True, text=True, check=False)
    assert re.search(r"^(Found \d+ diagnostics?|All checks passed!)$", done.stdout, re.MULTILINE), done.stderr
    return [line for line in done.stdout.splitlines() if re.search(rf"\[({rules})\]", line)]


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
    )
    found = wrong(ATTRIBUTES, str(file))
    assert [re.search(r"\[(.*?)\]", line).group(1) for line in found] == ["missing-argument", "missing-attribute"]
