"""Which stages run after which change, asserted from the runner's own log, through Snakemake."""

import os
import shutil

import pytest
from bridge_kit import EVALUATE, THREE, TRAIN, TWO, replicates


def test_nothing_runs_without_a_change_and_touching_is_none(toy):
    assert toy.make() == {}
    for path in [p for p in toy.root.rglob("*") if p.is_file() and ".snakemake" not in p.parts]:
        os.utime(path)
    assert "ran" not in toy.make().values()
    assert toy.make() == {}


def test_a_param_runs_its_stages_and_reverting_restores_the_same_bytes(toy):
    before = toy.outputs()
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    assert toy.ran() == TRAIN | EVALUATE | {"table"}
    assert toy.outputs().keys() == before.keys()
    assert toy.outputs() != before
    toy.edit("params.yaml", "steps: 4", "steps: 3")
    assert toy.make() == dict.fromkeys(TRAIN | EVALUATE | {"table"}, "restored")
    assert toy.outputs() == before
    assert toy.make() == {}


def test_one_methods_rule_runs_what_depends_on_it(toy):
    toy.edit("params.yaml", "anchor: {p: 0.2}", "anchor: {p: 0.5}")
    anchor = {addr for addr in TRAIN | EVALUATE if "anchor" in addr}
    assert toy.ran() == {"weights@anchor", "table"} | anchor


def test_a_result_of_some_methods_runs_after_those_alone(toy):
    toy.edit(
        "dvc.yaml", "      - results/table.csv\n", "      - results/table.csv\n    meta: {only: {method: shown}}\n"
    )
    toy.edit("params.yaml", "preset:", "shown: [full]\npreset:")
    toy.make()
    assert toy.make() == {}
    toy.edit("params.yaml", "anchor: {p: 0.2}", "anchor: {p: 0.5}")
    assert toy.make() == {}
    toy.edit("params.yaml", "full: {p: 1.0}", "full: {p: 0.9}")
    assert {"table", "weights@full"} < toy.ran()
    assert not any("anchor" in addr for addr in toy.make())


def test_systems_and_documents_plan_nothing(toy):
    toy.edit("params.yaml", "threads: 1", "threads: 2")
    (toy.root / "README.md").write_text("new")
    assert toy.make() == {}


def test_an_sql_file_runs_its_result_alone(toy):
    toy.edit("src/toy/queries/table.sql", "score", "score, seed")
    assert toy.make() == {"table": "ran"}


def test_a_comment_runs_the_stage_that_has_it_and_stops_where_bytes_are_equal(toy):
    with (toy.root / "src/toy/late.py").open("a") as f:
        f.write("# a comment\n")
    how = toy.make()
    assert {a for a, h in how.items() if h == "ran"} == EVALUATE
    assert how["table"] == "restored"


def test_code_edited_under_its_old_size_and_time_is_seen(toy):
    path = toy.root / "src/toy/dapo.py"
    old = path.stat()
    toy.edit("src/toy/dapo.py", "state * (1 -", "state * (2 -")
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert path.stat().st_size == old.st_size
    assert toy.ran() == TRAIN | EVALUATE | {"table"}


def test_a_deleted_output_is_restored(toy):
    before = toy.outputs()
    shutil.rmtree(toy.root / "artifacts/t/train/full-s1")
    (toy.root / "results/table.csv").unlink()
    assert "ran" not in toy.make("results/table.csv", "artifacts/t/train/full-s1/policy").values()
    assert toy.outputs() == before


def test_given_data_edited_under_its_old_time_is_seen_and_missing_data_is_one_line(toy):
    path = toy.root / "given/first.json"
    old = path.stat()
    path.write_text("1\n")
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    how = toy.make()
    assert {a for a, h in how.items() if h == "ran"} == {"source", "weights@full", "weights@anchor"} | TRAIN
    # Training reads how many rows there are: its policy came out the same.
    assert how["evaluate@full-1"] == "restored"
    shutil.rmtree(toy.root / "given")
    done = toy.command("snakemake", "--profile", "local", check=False)
    assert "error: given: no such file or folder, but stage source of dvc.yaml reads it" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_replicate_put_before_the_others_reruns_none_of_them(toy):
    """dvc.lock calls them by their places, and all of those change."""
    first = TWO.replace("[", "[{half: a, seed: 9}, ")
    toy.edit("params.yaml", TWO, first)
    new = {f"{stage}@{method}-9" for stage in ("train", "evaluate") for method in ("full", "anchor")}
    assert toy.ran() == new | {"table"}
    assert toy.ran() == set()
    toy.edit("params.yaml", first, TWO)
    assert toy.make() == {"table": "restored"}


def test_a_seed_added_and_removed(toy):
    before = toy.text("results/table.csv")
    toy.edit("params.yaml", TWO, THREE)
    new = {f"{stage}@{method}-3" for stage in ("train", "evaluate") for method in ("full", "anchor")}
    assert toy.ran() == new | {"table"}
    toy.edit("params.yaml", THREE, TWO)
    # The third seed's folders are still there; the table is of the configured seeds all the same.
    assert (toy.root / "artifacts/t/evaluate/full-s3").is_dir()
    assert toy.make() == {"table": "restored"}
    assert toy.text("results/table.csv") == before


def test_an_incremental_rerun_equals_a_full_one_byte_for_byte(toy, tmp_path):
    toy.edit("params.yaml", "rate: 1e-3", "rate: 5e-1")
    toy.edit("params.yaml", "anchor: {p: 0.2}", "anchor: {p: 0.3}")
    toy.edit("src/toy/late.py", "1000", "10")
    toy.make()
    full = toy.clone(tmp_path / "full")
    assert set(full.make().values()) == {"ran"}
    assert full.outputs() == toy.outputs()


def test_a_new_lazy_import_without_its_dep_is_refused_before_anything_runs(toy):
    (toy.root / "src/toy/extra.py").write_text("VALUE = 1\n")
    toy.edit("src/toy/dapo.py", "    return", "    from toy.extra import VALUE  # noqa\n    return")
    done = toy.command("snakemake", "--profile", "local", check=False)
    assert done.returncode == 1
    assert "error: dvc.yaml: stage train lacks the dep src/toy/extra.py: run `snakedvc deps`" in done.stderr
    assert "Traceback" not in done.stderr
    toy.snakedvc("deps")
    assert toy.ran() == TRAIN


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (TWO, replicates([1, 1]), "params.yaml: the list for matrix replicate of stage train holds a value twice"),
        ("train:", "trains:", "params.yaml: train.backend: missing, but stage train of dvc.yaml reads it"),
        ("train: {steps", "train: {steps: [", "params.yaml line 8: not valid YAML"),
    ],
)
def test_a_mistake_in_params_is_one_line_at_plan_time(fresh, old, new, message):
    fresh.edit("params.yaml", old, new)
    done = fresh.command("snakemake", "--profile", "local", check=False)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Using profile")]
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {message}")


def test_results_that_dvc_brought_are_planned_when_params_differ(toy):
    # Snakemake has no memory of these files: only the bridge's records can tell.
    shutil.rmtree(toy.root / ".snakemake")
    toy.edit("params.yaml", "anchor: {p: 0.2}", "anchor: {p: 0.5}")
    anchor = {addr for addr in TRAIN | EVALUATE if "anchor" in addr}
    assert toy.ran() == {"weights@anchor", "table"} | anchor


def test_results_of_dvc_repro_are_replaced_when_params_are_reverted(toy):
    before = toy.outputs()
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    toy.command("dvc", "repro", PYTHONPATH="src")
    assert toy.outputs() != before
    toy.edit("params.yaml", "steps: 4", "steps: 3")
    assert "ran" not in toy.make().values()
    assert toy.outputs() == before
