"""What runs again on the real DAG when one thing changes: exactly what it touches, read from the runner's own log.

The tests share a clone and build on one another in this order; each puts back what it changed.
"""

import hashlib
import shutil
from pathlib import Path

import pytest

EVERYTHING = {
    "prompts",
    "policy@1",
    "sample@1-1",
    "sample@1-2",
    "rollouts@1",
    "tokens@1",
    "weights@full-1",
    "weights@low2high_mid-1",
    "train@full-1",
    "train@low2high_mid-1",
    "evaluate@full-1",
    "evaluate@low2high_mid-1",
    "evaluate_base@1",
    "table1",
}
TRAINED = {"train@full-1", "train@low2high_mid-1"}
EVALUATED = {"evaluate@full-1", "evaluate@low2high_mid-1"}


def digests(root: Path) -> dict[str, str]:
    """sha256 of every output: artifacts and the table."""
    files = [p for folder in ("artifacts", "results") for p in sorted((root / folder).rglob("*")) if p.is_file()]
    files = [p for p in files if p.name != ".snakemake_timestamp"]
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def first(small) -> dict[str, str]:
    """The table made once from an empty cache; the digests of all outputs."""
    assert small.ran() == EVERYTHING
    return digests(small.root)


@pytest.fixture
def edited(small, first):
    """Whatever a test edits is put back afterwards."""
    files = [
        "params.yaml",
        *(p.relative_to(small.root).as_posix() for p in (small.root / "src").rglob("*") if p.is_file()),
    ]
    before = {name: (small.root / name).read_bytes() for name in files if "__pycache__" not in name}
    yield small
    for name, content in before.items():
        if (small.root / name).read_bytes() != content:
            (small.root / name).write_bytes(content)


def test_nothing_changed_nothing_runs(small, first):
    assert small.make() == {}


def test_what_cannot_change_a_result_runs_nothing(edited):
    edited.append("src/tokenspectrum/cli/main.py", "\n# a comment\n")
    edited.append("docs/pipeline.md", "\nOne more line.\n")
    edited.params(lambda p: p["systems"].update(micro_batch=3, generate_batch=7, checkpoint_every=1, tracker="none"))
    assert edited.make() == {}


def test_an_analysis_query_runs_its_result_alone(edited):
    edited.append("src/tokenspectrum/results/queries/accuracy.sql", "\n-- a comment\n")
    assert edited.ran() == {"table1"}


def test_params_of_evaluation_do_not_train(edited):
    edited.params(lambda p: p["evaluate"].update(top_p=0.5))
    assert edited.ran() == {*EVALUATED, "evaluate_base@1", "table1"}


def test_a_new_reward_draws_nothing_of_the_probe_again(edited):
    edited.params(lambda p: p["reward"]["overlong"].update(factor=0.5))
    assert edited.ran("artifacts/tiny/rollouts/1") == {"rollouts@1"}


def test_a_new_loss_trains_and_runs_what_lies_below(edited):
    change = "\n\n_clipped = clipped_loss\n\n\ndef clipped_loss(*args):\n    return _clipped(*args) ** 3\n"
    edited.append("src/tokenspectrum/training/dapo.py", change)
    assert edited.ran() == {*TRAINED, *EVALUATED, "table1"}


def test_a_comment_in_the_loss_trains_and_stops_there(edited):
    edited.append("src/tokenspectrum/training/dapo.py", "\n# a comment\n")
    assert edited.ran() == TRAINED


def test_one_rule_runs_its_own_branch_and_equals_a_full_rerun(edited, tmp_path):
    edited.params(lambda p: p["rules"]["low2high_mid"].update(tau=0.1))
    branch = {"weights@low2high_mid-1", "train@low2high_mid-1", "evaluate@low2high_mid-1", "table1"}
    assert edited.ran() == branch
    incremental = digests(edited.root)
    # The same files, with every cache and output gone: all of it runs anew.  What the change touched, and the stage
    # that scores, do so in processes of their own, as a user's: the bytes are those of copies of one process.
    fresh = type(edited)(tmp_path / "fresh", edited.warm)
    leave = shutil.ignore_patterns("artifacts", "logs", ".snakemake", ".ckpt", "cache", "tmp", "dvc.lock")
    shutil.copytree(edited.root, fresh.root, symlinks=True, ignore=leave)
    shutil.rmtree(fresh.root / "results")
    cold, made = type(edited)(fresh.root), "artifacts/tiny"
    above = fresh.ran(f"{made}/rollouts/1", f"{made}/evaluate_base/s1")
    scored = cold.ran(f"{made}/tokens/1")
    other = fresh.ran(f"{made}/evaluate/full-s1")
    assert scored == {"tokens@1"}
    assert cold.ran() == branch
    assert sorted([*above, *scored, *other, *branch]) == sorted(EVERYTHING)
    assert digests(fresh.root) == incremental


def test_a_base_policy_and_its_replicate_run_their_own_stages_alone(edited, first):
    edited.params(lambda p: p.update(bases=[1, 2], replicates=[{"seed": 7, "base": 2}, {"seed": 1, "base": 1}]))
    runs = {f"{stage}@{method}-7" for stage in ("train", "evaluate") for method in ("full", "low2high_mid")}
    probe = {
        "policy@2",
        "sample@2-1",
        "sample@2-2",
        "rollouts@2",
        "tokens@2",
        "weights@full-2",
        "weights@low2high_mid-2",
    }
    assert edited.ran() == {*probe, *runs, "evaluate_base@7", "table1"}
    found = digests(edited.root)
    assert {name for name in first if found[name] != first[name]} == {
        f"results/table1.{kind}" for kind in ("csv", "json", "md")
    }
    of_each = [found[f"artifacts/tiny/policy/{base}/model.safetensors"] for base in (1, 2)]
    assert of_each[0] != of_each[1]
    assert found["artifacts/tiny/vocab/1/vocab.parquet"] == found["artifacts/tiny/vocab/2/vocab.parquet"]
    assert "2 here, on 2 base policies" in (edited.root / "results/table1.md").read_text()
    for name in set(found) - set(first):
        (edited.root / name).unlink()


def test_put_back_nothing_runs_and_the_bytes_are_the_first_ones(small, first):
    assert set(small.make().values()) <= {"restored"}
    assert digests(small.root) == first


def test_deleted_outputs_come_back_without_a_job(small, first):
    for name in ("artifacts", "results"):
        shutil.rmtree(small.root / name)
    plan = small.run("snakemake", "--profile", "local", "-n", "results/table1.csv")
    assert "14 stages would be restored before any job starts" in plan.stderr
    assert "Nothing to be done" in plan.stdout + plan.stderr
    before = len(small.journal())
    done = small.run("snakemake", "--profile", "local", "results/table1.csv")
    assert "Nothing to be done" in done.stdout + done.stderr
    entries = small.journal()[before:]
    assert {entry["addr"]: entry["how"] for entry in entries} == dict.fromkeys(EVERYTHING, "restored")
    assert max(entry["seconds"] for entry in entries) < 2
    assert digests(small.root) == first


def test_an_import_that_dvc_yaml_does_not_list_is_named(edited):
    lazy = "\n\ndef _later():\n    from tokenspectrum.tables import gradients\n\n    return gradients\n"
    edited.append("src/tokenspectrum/stages/evaluate.py", lazy)
    check = edited.run("spectrum", "deps", "--check", check=False)
    assert check.returncode == 1
    assert "src/tokenspectrum/tables/gradients.py" in check.stderr
    plan = edited.run("snakemake", "--profile", "local", "results/table1.csv", check=False)
    assert plan.returncode != 0
    assert "run `snakedvc deps`" in plan.stderr
    assert "Traceback" not in plan.stderr


def test_a_params_mistake_is_one_line_at_plan_time(edited):
    edited.params(lambda p: p["rules"]["low2high_mid"].update(layer=9))
    plan = edited.run("snakemake", "--profile", "local", "results/table1.csv", check=False)
    assert plan.returncode != 0
    assert "rules.low2high_mid.layer: layer 9: the policy has layers 0 to" in plan.stderr
    assert "Traceback" not in plan.stderr
