"""Code that is in no key, code that params select, and code whose hash travels in a file: on the toy project."""

import json

from bridge_kit import ALL, Toy

UP_TO_DATE = "Data and pipelines are up to date."


def up_to_date(toy: Toy) -> bool:
    """Whether plain DVC agrees that nothing has to run."""
    return toy.command("dvc", "status").stdout.strip() == UP_TO_DATE


def test_systems_code_goes_with_a_stage_and_is_in_no_key(toy):
    before = json.loads(toy.text("logs/train/train@full-1/provenance.json"))["systems_code"]["src/toy/systems"]
    assert up_to_date(toy)
    toy.edit("src/toy/systems/report.py", "print(line)", 'print("now", line)')
    assert toy.ran() == set()
    assert up_to_date(toy)
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    toy.make("artifacts/t/train/full-s1/policy")
    assert toy.text("logs/train/train@full-1/output.log").startswith("now from step 0")
    after = json.loads(toy.text("logs/train/train@full-1/provenance.json"))["systems_code"]["src/toy/systems"]
    assert before != after


def test_only_the_folder_that_params_select_is_in_the_key(toy):
    toy.edit("src/toy/backends/fancy/step.py", "/ 2", "/ 4")
    assert toy.ran() == set()
    assert up_to_date(toy)
    toy.edit("params.yaml", "backend: plain", "backend: fancy")
    fancy = toy.ran("artifacts/t/train/full-s1/policy")
    assert fancy == {"train@full-1"}
    toy.edit("params.yaml", "backend: fancy", "backend: plain")
    assert toy.ran() == set()
    toy.edit("src/toy/backends/plain/step.py", "return step", "return 2 * step")
    assert toy.ran("artifacts/t/train/full-s1/policy") == {"train@full-1"}


def test_a_frozen_copy_holds_the_selected_folder_alone(toy):
    toy.edit("src/toy/stages/train.py", 'if name == "fancy"', 'if name == "plain"')
    done = toy.run("train@full-1", check=False)
    assert "No module named 'toy.backends.fancy'" in done.stderr


def test_a_new_file_in_a_selected_folder_counts_and_compiled_code_does_not(toy):
    cached = toy.root / "src/toy/backends/plain/__pycache__"
    cached.mkdir(exist_ok=True)
    (cached / "step.pyc").write_text("compiled")
    assert toy.ran() == set()
    assert up_to_date(toy)
    (toy.root / "src/toy/backends/plain/more.py").write_text("")
    assert {addr.split("@")[0] for addr in toy.ran()} >= {"train"}
    assert up_to_date(toy)


def test_a_rule_reruns_the_runs_that_use_it_and_no_other(toy):
    toy.edit("src/toy/rules/anchor.py", "return p", "return p / 2")
    ran = toy.ran()
    assert ran == {
        *("weights@full", "weights@anchor", "train@anchor-1", "train@anchor-2"),
        *("evaluate@anchor-1", "evaluate@anchor-2", "table"),
    }
    assert up_to_date(toy)
    (toy.root / "src/toy/rules/another.py").write_text('"""A rule that nobody uses."""\n')
    assert toy.ran() == {"weights@full", "weights@anchor"}


def test_code_that_changed_after_its_hash_was_written_does_not_run_under_that_hash(toy):
    """As when a rule is edited after `weights` ended, before its `train` job starts."""
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    records = set((toy.root / ".dvc/cache/runs").rglob("*"))
    toy.edit("src/toy/rules/anchor.py", "return p", "return p / 2")
    done = toy.run("train@anchor-1", check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "error: train@anchor-1: refused: src/toy/rules changed after stage weights@anchor read it: run again\n",
    )
    assert toy.last() == ("train@anchor-1", "refused")
    assert set((toy.root / ".dvc/cache/runs").rglob("*")) == records
    assert not (toy.root / "artifacts/t/train/anchor-s1/policy").exists()
    assert {"weights@anchor", "train@anchor-1"} <= toy.ran("artifacts/t/train/anchor-s1/policy")


def test_an_accepted_edit_of_such_code_is_no_change(toy):
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    toy.edit("src/toy/rules/anchor.py", "A part of it", "Some of it")
    toy.snakedvc("accept", "weights", "--reason", "a docstring")
    toy.run("train@anchor-1")
    assert toy.last() == ("train@anchor-1", "ran")


def test_a_file_that_keys_a_folder_comes_from_a_stage_that_reads_it(toy):
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    toy.edit("dvc.yaml", "      - src/toy/rules\n", "      - src/toy/rules/__init__.py\n")
    done = toy.run("train@full-1", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: dvc.yaml: stage weights makes artifacts/t/weights/full/code.json: list src/")


def test_an_import_at_the_top_of_what_params_may_not_select_is_refused(toy):
    toy.edit("src/toy/stages/train.py", "from toy.gate", "from toy.backends.fancy.step import move\nfrom toy.gate")
    done = toy.snakedvc("deps", check=False)
    assert done.stderr == (
        "error: src/toy/stages/train.py: imports src/toy/backends/fancy/__init__.py at its top, but stage train has "
        "only the folder src/toy/backends/${train.backend} of the params: import it inside the function that needs it\n"
    )


def test_settings_that_are_wrong_are_one_line(toy):
    text = toy.text("pyproject.toml")
    for old, new, message in (
        ("systems-code", "system-code", "[tool.snakedvc] system-code: unknown key; remove it or check its spelling"),
        ('["src/toy/systems"]', '"src/toy/systems"', "must be a list of texts (got 'src/toy/systems')"),
        ("src/toy/systems", "src/toy/system", "[tool.snakedvc] names src/toy/system, which is not there"),
        ("[project]", "[project", "pyproject.toml: not valid TOML"),
    ):
        (toy.root / "pyproject.toml").write_text(text.replace(old, new))
        done = toy.run("source", check=False)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_the_toy_has_all_three_kinds(fresh):
    assert ALL
    for folder in ("systems", "rules", "backends/plain", "backends/fancy"):
        assert (fresh.root / "src/toy" / folder / "__init__.py").exists()
