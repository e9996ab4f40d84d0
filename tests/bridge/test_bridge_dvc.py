"""DVC itself on what the bridge wrote, and the bridge on what DVC wrote."""

import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
import yaml
from bridge_kit import ALL, ENTRIES, ROOT, Toy


def test_dvc_finds_everything_up_to_date(toy):
    assert "up to date" in toy.command("dvc", "status").stdout
    assert "didn't change" in toy.command("dvc", "repro", PYTHONPATH="src").stdout
    dag = toy.command("dvc", "dag", "--dot").stdout
    assert '"train@full-replicate0" -> "evaluate@full-replicate0"' in dag
    assert '"evaluate@full-replicate0" -> "table"' in dag
    shutil.rmtree(toy.root / "artifacts/t/source")
    toy.command("dvc", "checkout")
    assert toy.text("artifacts/t/source/rows.json") == "[0, 1, 2, 3]\n"


def test_the_bridge_restores_what_dvc_repro_ran(fresh):
    fresh.command("dvc", "repro", PYTHONPATH="src")
    for name in ("artifacts", "results", "dvc.lock"):
        path = fresh.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert fresh.make() == dict.fromkeys(ALL, "restored")


def test_dvc_repro_restores_what_the_bridge_ran(toy):
    before = toy.outputs()
    for name in ("artifacts", "results", "dvc.lock"):
        path = toy.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = toy.command("dvc", "repro", PYTHONPATH="src")
    assert done.stdout.count("is cached - skipping run") == len(ALL)
    assert "Running stage" not in done.stdout
    assert toy.outputs() == before


def test_keys_and_hashes_are_dvcs_own(toy, monkeypatch):
    from dvc.repo import Repo
    from dvc.stage.cache import _get_cache_hash

    from snakedvc.dvcfiles.digest import digest
    from snakedvc.dvcfiles.record import Record

    monkeypatch.chdir(toy.root)
    for path in Path(".dvc/cache/runs").glob("*/*/*"):
        record = Record.read(json.loads(path.read_text()))
        assert path.parts[-2:] == (record.key, record.name)
        assert record.document() == json.loads(path.read_text())
        assert path.name == _get_cache_hash(json.loads(path.read_text()))
        assert path.parent.name == _get_cache_hash(json.loads(path.read_text()), key=True)
    repo = Repo()
    for stage in repo.index.stages:
        for out in stage.outs:
            assert digest(Path(str(out))).md5 == out.get_hash().value


def as_sizes(toy: Toy) -> None:
    """Let stage source have params that are called like the sizes in a record."""
    toy.edit("params.yaml", "source: {rows: 4}", "source: {rows: 4, more: [{size: 8, of: {nfiles: 2}}]}")


@pytest.mark.parametrize("remote", [False, True])
def test_a_result_whose_params_are_called_size_is_found_again_and_none_of_another_size(toy, tmp_path, remote):
    from dvc.stage.cache import _get_cache_hash

    as_sizes(toy)
    assert toy.make("artifacts/t/source") == {"source": "ran"}
    records = {p.name: p for p in (toy.root / ".dvc/cache/runs").glob("*/*/*")}
    (ours,) = [p for p in records.values() if "nfiles: 2" in yaml.dump(json.loads(p.read_text())["params"])]
    assert ours.name != _get_cache_hash(json.loads(ours.read_text()))  # DVC would not tell another size from it
    if remote:
        with_remote(toy, tmp_path / "remote")
        toy.snakedvc("push")
        toy = toy.clone(tmp_path / "clone")
    (toy.root / "dvc.lock").unlink()
    shutil.rmtree(toy.root / "artifacts", ignore_errors=True)
    done = toy.snakedvc("status", "source", check=False)
    assert "damaged" not in done.stderr
    assert toy.make("artifacts/t/source") == {"source": "restored"}
    assert {p.name for p in (toy.root / ".dvc/cache/runs").glob("*/*/*")} >= ({ours.name} if remote else set(records))
    toy.edit("params.yaml", "size: 8", "size: 9")
    assert toy.make("artifacts/t/source") == {"source": "ran"}
    toy.edit("params.yaml", "size: 9", "size: 8")
    assert set(toy.make("artifacts/t/source").values()) <= {"restored"}


def test_what_dvc_repro_ran_with_params_called_size_is_restored_and_none_of_another_size(fresh):
    as_sizes(fresh)
    fresh.command("dvc", "repro", "source", PYTHONPATH="src")
    (record,) = (fresh.root / ".dvc/cache/runs").glob("*/*/*")
    fresh.edit("params.yaml", "size: 8", "size: 9")
    (fresh.root / "dvc.lock").unlink()
    assert fresh.make("artifacts/t/source") == {"source": "ran"}
    fresh.edit("params.yaml", "size: 9", "size: 8")
    (fresh.root / "dvc.lock").unlink()
    assert "ran" not in fresh.make("artifacts/t/source").values()
    assert record.exists()  # it is sound by its name, which is DVC's


@pytest.mark.parametrize(
    ("at", "sound"), [("", True), ('"size": 8', False), ('"nfiles": 2', False), ('"rows": 4', False), ('"12e34', False)]
)
def test_a_record_whose_params_are_called_size_is_damaged_where_one_of_them_is(at, sound):
    from dvc.stage.cache import _get_cache_hash
    from dvc.utils import dict_sha256

    from snakedvc.dvcfiles.cache import DamagedRecordError, read_record
    from snakedvc.dvcfiles.record import Entry, Record

    params = {"source": {"rows": 4, "more": [{"size": 8, "of": {"nfiles": 2}}]}}
    record = Record("true", (Entry("in", "ab", 7),), params, (Entry("out", "12e34", 5, 1),))
    text = json.dumps(record.document())
    # DVC's own names: they leave out more, so a param called size is not covered by them.
    dvcs = {key: _get_cache_hash(json.loads(text), key=key) for key in (False, True)}
    assert record.keys == (record.key, dvcs[True])
    assert record.name == dict_sha256(
        {
            "cmd": "true",
            "deps": [{"path": "in", "hash": "md5", "md5": "ab"}],
            "params": {"params.yaml": params},
            "outs": [{"path": "out", "hash": "md5", "md5": "12e34"}],
        }
    )
    changed = text.replace(at, f"{at}9") if at else text
    assert (changed == text) is sound

    def is_sound(name: str) -> bool:
        try:
            return read_record(changed.encode(), name) is not None
        except DamagedRecordError:
            return False

    assert is_sound(record.name) is sound
    assert is_sound(dvcs[False]) is (sound or at in ('"size": 8', '"nfiles": 2'))


def with_remote(toy: Toy, folder: Path) -> None:
    toy.command("dvc", "remote", "add", "-d", "store", str(folder))


BRANCH = {"source", "weights@full", "train@full-1", "evaluate@full-1"}
SCORE = "artifacts/t/evaluate/full-s1"


def test_older_variants_restore_in_another_clone(toy, tmp_path):
    with_remote(toy, tmp_path / "remote")
    older = toy.text(f"{SCORE}/score.json")
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    toy.make()
    newer = toy.text(f"{SCORE}/score.json")
    assert "run records" in toy.snakedvc("push").stdout
    assert toy.snakedvc("push").stdout.split()[3] == "0"
    # The clone has neither variant, nor dvc.lock: nothing but the remote has them.
    clone = toy.clone(tmp_path / "clone")
    (clone.root / "dvc.lock").unlink()
    clone.edit("params.yaml", "steps: 4", "steps: 3")
    assert clone.make(SCORE) == dict.fromkeys(BRANCH, "restored")
    assert clone.text(f"{SCORE}/score.json") == older
    clone.edit("params.yaml", "steps: 3", "steps: 4")
    assert clone.make(SCORE) == dict.fromkeys(["train@full-1", "evaluate@full-1"], "restored")
    assert clone.text(f"{SCORE}/score.json") == newer != older


def test_a_plain_dvc_push_and_pull_of_the_current_variant(toy, tmp_path):
    with_remote(toy, tmp_path / "remote")
    toy.command("dvc", "push")
    clone = toy.clone(tmp_path / "clone")
    clone.command("dvc", "pull")
    assert clone.outputs() == toy.outputs()
    assert "ran" not in clone.make(SCORE).values()
    clone.edit("params.yaml", "samples: 2", "samples: 3")
    assert clone.ran(SCORE) == {"evaluate@full-1"}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_damaged_object_comes_back_from_the_remote(toy, tmp_path, kind):
    with_remote(toy, tmp_path / "remote")
    toy.snakedvc("push")
    rows = toy.outputs()["artifacts/t/source/rows.json"]
    marks = {"file": lambda content: content == rows, "folder": lambda content: b'"meta/count.json"' in content}
    (path,) = [p for p in toy.objects() if marks[kind](p.read_bytes())]
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(b"rotten")
    toy.run("source")
    assert toy.last() == ("source", "restored")
    assert path.read_bytes() == content


def test_a_remote_that_cannot_be_reached_is_no_reason_not_to_run(fresh):
    fresh.command("dvc", "remote", "add", "-d", "store", "ssh://nobody@127.0.0.1:1/nowhere")
    done = fresh.run("source")
    assert "the DVC remote did not answer" in done.stderr
    assert fresh.last() == ("source", "ran")


def test_push_without_a_remote_is_one_line(toy):
    done = toy.snakedvc("push", check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "error: no remote: set one with `dvc remote add -d NAME FOLDER_OR_URL`\n",
    )


def test_the_cache_may_lie_elsewhere(fresh, tmp_path):
    fresh.command("dvc", "cache", "dir", "--local", str(tmp_path / "shared"))
    fresh.run("source")
    fresh.run("source")
    assert fresh.last() == ("source", "restored")
    assert fresh.objects() == []
    assert (tmp_path / "shared/files/md5").is_dir()


# dvc.lock


def test_fragments_of_a_killed_driver_are_folded_by_the_next(toy):
    lock = toy.text("dvc.lock")
    toy.edit("params.yaml", "rows: 4", "rows: 5")
    toy.run("source")
    toy.command("snakemake", "--profile", "local", "-n")
    assert toy.text("dvc.lock") == lock  # a dry run writes nothing
    toy.command("snakemake", "--profile", "local", "artifacts/t/source")
    stages = yaml.safe_load(toy.text("dvc.lock"))["stages"]
    assert stages["source"]["params"]["params.yaml"]["source"] == {"rows": 5}
    assert stages.keys() == ENTRIES


def _leave_and_fold(root: str, who: int) -> None:
    os.chdir(root)
    from snakedvc.dvcfiles.record import Entry, Record
    from snakedvc.dvcfiles.records import fold, save_fragment

    for i in range(30):
        save_fragment(f"stage-{who}-{i}", Record("true", (), {}, (Entry(f"{who}-{i}", "12e34"),)))
        fold()


def test_drivers_that_fold_at_once_lose_nothing(tmp_path):
    (tmp_path / ".dvc").mkdir()
    workers = [
        multiprocessing.get_context("spawn").Process(target=_leave_and_fold, args=(str(tmp_path), w)) for w in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    from dvc.utils.serialize import load_yaml

    stages = load_yaml(tmp_path / "dvc.lock")["stages"]
    assert len(stages) == 120
    # A hash that looks like a number is still text, to DVC too.
    assert {s["outs"][0]["md5"] for s in stages.values()} == {"12e34"}
    assert not list((tmp_path / ".dvc/tmp/lock.d").rglob("*.json"))


def test_a_fold_that_was_killed_is_finished_by_the_next(tmp_path, monkeypatch):
    from snakedvc.dvcfiles import records
    from snakedvc.dvcfiles.record import Record

    monkeypatch.chdir(tmp_path)
    records.save_fragment("a", Record("old", (), {}, ()))

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records.yaml, "dump", killed)
        with pytest.raises(KeyboardInterrupt):
            records.fold()
    assert records.Records().get("a").cmd == "old"
    records.save_fragment("b", Record("new", (), {}, ()))
    assert records.fold() == 2
    assert {addr: records.Records().get(addr).cmd for addr in "ab"} == {"a": "old", "b": "new"}


def test_what_dvc_ignores_is_what_the_bridge_ignores():
    from snakedvc.dvcfiles.digest import IGNORED

    lines = (ROOT / ".dvcignore").read_text().splitlines()
    assert {line for line in lines if line and not line.startswith(("#", "/"))} == IGNORED
