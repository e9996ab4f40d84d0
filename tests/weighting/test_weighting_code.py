"""code.json: an edit to a rule changes it for the methods that use that rule, and for no other.

Training depends on rule.json and code.json and on no file of rules/: it runs again exactly where one of them changes.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tokenspectrum
from snakedvc.code.impact import readers
from snakedvc.dvcfiles.load import load_pipeline
from tokenspectrum.weighting.code import rule_code
from tokenspectrum.weighting.registry import RULES

ROOT = Path(__file__).resolve().parents[2]
HARD = {"random", "front", "back", "anchor", "explorer", "predictive-high", "predictive-low", "loss-high", "loss-low"}
MATCHED = {"type-matched", "position-matched", "covariate-matched"}
SOFT = {"low2high", "high2low", "static-anchor", "static-explorer"}
DEALT = {"shuffled", "permuted-entropy", "equal-mean"}
ANY_SOFT = SOFT | DEALT | {"adaptive"}
# File of rules/ -> the kinds whose code it is part of.
USED_BY = {
    "_control.py": MATCHED | DEALT,
    "_draws.py": {"uniform"} | HARD | MATCHED | DEALT,
    "_masks.py": {"uniform"} | HARD | MATCHED,
    "_select.py": {"uniform"} | HARD | MATCHED,
    "_options.py": HARD | MATCHED | ANY_SOFT,
    "_schedule.py": ANY_SOFT,
    "_soft.py": ANY_SOFT,
    "adaptive.py": {"adaptive"},
    "attention.py": {"anchor", "explorer"} | MATCHED,
    "dealt.py": DEALT,
    "loss.py": {"loss-high", "loss-low"} | MATCHED,
    "matched.py": MATCHED,
    "position.py": {"front", "back"},
    "predictive.py": {"predictive-high", "predictive-low"} | MATCHED,
    "random.py": {"random"},
    "soft.py": ANY_SOFT,
    "uniform.py": {"uniform"},
}
DOCUMENTED = (
    (ROOT / "docs/weighting.md").read_text().split("## Adding a rule")[1].split("```python\n")[1].split("```")[0]
)


def codes(source: Path) -> dict[str, dict]:
    """What code.json holds for every kind, under the package in `source`."""
    script = (
        "import json; from tokenspectrum.weighting.code import rule_code; "
        "from tokenspectrum.weighting.registry import RULES; "
        "print(json.dumps({kind: rule_code(kind) for kind in RULES}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the package."""
    copy = tmp_path_factory.mktemp("src")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(tokenspectrum.__file__).parent, copy / "tokenspectrum", ignore=ignored)
    return copy


@pytest.mark.parametrize("name", USED_BY)
def test_a_file_is_code_of_the_rules_that_use_it_and_of_no_other(name):
    users = {kind for kind in RULES if name in rule_code(kind)["files"]}
    assert users & set().union(*USED_BY.values()) == USED_BY[name]


def test_an_edit_changes_the_code_of_the_rules_that_use_the_file(source):
    before = codes(source)
    file = source / "tokenspectrum/weighting/rules/attention.py"
    file.write_text(file.read_text() + "\n# edited\n")
    after = codes(source)
    assert {kind for kind in before if before[kind] != after[kind]} == USED_BY["attention.py"]


def test_a_rule_that_is_added_changes_the_code_of_no_other(source):
    before = codes(source)
    (source / "tokenspectrum/weighting/rules/middle.py").write_text(DOCUMENTED)
    after = codes(source)
    assert {kind: after[kind] for kind in before} == before
    assert after["middle"]["files"].keys() == {
        "__init__.py",
        "_draws.py",
        "_masks.py",
        "_options.py",
        "_select.py",
        "middle.py",
    }


def test_dvc_yaml_keys_weights_by_the_folder_and_training_by_code_json(monkeypatch):
    monkeypatch.chdir(ROOT)
    pipeline = load_pipeline()
    for name in ("attention.py", "middle.py"):
        file = f"src/tokenspectrum/weighting/rules/{name}"
        assert {stage.name for stage in readers(pipeline, file)} == {"weights", "gradients"}
    for stage in pipeline.matching("train"):
        method, _, seed = stage.addr.removeprefix("train@").rpartition("-")
        (base,) = (r["base"] for r in pipeline.params["replicates"] if str(r["seed"]) == seed)
        read = {dep for dep in stage.deps if "/weights/" in dep}
        assert {Path(dep).name for dep in read} == {"rule.json", "code.json"}
        assert {Path(dep).parent.name for dep in read} == {f"{method}-b{base}"}
