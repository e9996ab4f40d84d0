"""`snakedvc gc` on the toy project: what can go, and that nothing else does.

No stage runs here.  Results are put into the cache as a run would put them.
"""

import fcntl
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from bridge_kit import new_toy, pretend

from snakedvc.cli.main import main
from snakedvc.dvcfiles.cache import Cache
from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.store import Store
from snakedvc.planning.audit import Audit

CACHE = Path(".dvc/cache")
STAGES = 12
OLD = 9  # train, evaluate and table


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return new_toy(tmp_path_factory.mktemp("gc") / "toy").root


@pytest.fixture
def twice(made, tmp_path, monkeypatch) -> Path:
    """Made under two learning rates, the second one present."""
    root = tmp_path / "toy"
    shutil.copytree(made, root, symlinks=True)
    monkeypatch.chdir(root)
    pretend()
    edit("rate: 1e-3", "rate: 1e-2")
    pretend()
    assert len(list(Cache(CACHE).all_records())) == STAGES + OLD
    return root


def edit(old: str, new: str, file: str = "params.yaml") -> None:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))


@pytest.fixture
def gc(capsys):
    def run(*words: str) -> str:
        main(["gc", *words])
        return capsys.readouterr().out

    return run


def files() -> set[str]:
    return {str(p) for top in (CACHE, Path(".ckpt"), Path(".dvc/tmp/altered")) for p in top.rglob("*")}


def whole(root: Path = CACHE) -> bool:
    """Whether each run record has its objects."""
    cache = Cache(root)
    return not any(cache.missing(record.made.values()) for record in cache.all_records())


def age(root: Path, days: float) -> None:
    then = time.time() - days * 86400
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def test_nothing_is_deleted_without_force_and_nothing_recent_with_it(twice, gc):
    before = files()
    said = gc("--keep-days", "0")
    lines = [line.split() for line in said.splitlines()]
    (train,) = [line for line in lines if line[:1] == ["train"]]
    assert (train[1], *train[-2:]) == ("8", "4", "4")
    assert "can go: 9 runs, " in said
    assert "nothing was deleted; --force deletes it" in said
    assert "used within 30 days stays" in gc()
    assert "deleted 0 runs, 0 objects, 0 leftovers: 0 bytes" in gc("--force")
    assert files() == before


def test_what_goes_is_only_what_no_present_stage_needs(twice, gc):
    bytes_before = sum(p.stat().st_size for p in CACHE.rglob("*") if p.is_file())
    freed = gc("--keep-days", "0").partition("leftovers: ")[2].partition("\n")[0]
    assert f"leftovers: {freed}" in gc("--keep-days", "0", "--force")
    assert sum(p.stat().st_size for p in CACHE.rglob("*") if p.is_file()) < bytes_before
    assert whole()
    assert len(list(Cache(CACHE).all_records())) == STAGES
    pipeline, store = load_pipeline(), Store()
    audit = Audit(pipeline, store)
    for top in ("artifacts", "results"):
        shutil.rmtree(top)
    for stage in pipeline.topological():
        result = audit.result(stage)
        assert result is not None
        assert store.restore(result, stage.addr) == "restored"
    edit("rate: 1e-2", "rate: 1e-3")
    pipeline, store = load_pipeline(), Store()
    audit = Audit(pipeline, store)
    assert audit.result(pipeline.stage("weights@full")) is not None
    assert audit.result(pipeline.stage("train@full-1")) is None


def test_what_the_present_params_may_need_again_stays(twice, gc):
    """A stage above has to run, since its code was edited: below it no key is known, and the bytes may be the old."""
    keys = {record.key for record in Cache(CACHE).all_records()}
    edit("rate: 1e-2", "rate: 1e-3")
    for folder in ("artifacts", "results"):
        shutil.rmtree(folder)
    Path("dvc.lock").unlink()
    code = Path("src/toy/stages/source.py")
    code.write_text(code.read_text() + "\n# refactored\n")
    audit = Audit(load_pipeline(), Store())
    assert audit.result(audit._pipeline.stage("train@full-1")) is None
    gc("--keep-days", "0", "--force")
    left = {record.key: record for record in Cache(CACHE).all_records()}
    rates = [record.params["train"]["rate"] for record in left.values() if "train" in record.params]
    assert rates == [1e-3] * 4
    assert len(keys) - len(left) == 4  # the other rate's trainings; what is below may fit either
    assert whole()
    code.write_text(code.read_text().replace("\n# refactored\n", ""))
    audit = Audit(load_pipeline(), Store())
    assert all(audit.result(stage) for stage in load_pipeline().topological())


def test_one_stage_alone(twice, gc):
    assert "deleted 4 runs, " in gc("--keep-days", "0", "--force", "--stage", "train")
    assert whole()
    assert len(list(Cache(CACHE).all_records())) == STAGES + OLD - 4
    with pytest.raises(SystemExit, match="error: --stage trian: no such stage; there are source, "):
        gc("--stage", "trian")


def test_what_a_stale_stage_last_made_stays_and_what_dvc_added(twice, gc):
    """Code was edited, and the run cache is gone: dvc.lock alone says what the results are."""
    shutil.rmtree(CACHE / "runs")
    edit("1000", "10", "src/toy/late.py")
    Path("own.txt").write_text("mine")
    own = Store().cache.store(Path("own.txt")).md5
    Path("own.txt.dvc").write_text(f"outs:\n- md5: {own}\n  size: 4\n  hash: md5\n  path: own.txt\n")
    assert "deleted 0 runs, " in gc("--keep-days", "0", "--force")
    store = Store()
    last = [record for stage in load_pipeline().stages.values() if (record := store.last(stage))]
    assert len(last) == STAGES
    assert not store.cache.missing(md5 for record in last for md5 in record.made.values())
    assert not store.cache.missing([own])
    Path("own.txt.dvc").unlink()
    gc("--keep-days", "0", "--force")
    assert store.cache.missing([own])


def test_age_counts_from_the_last_use(twice, gc):
    age(CACHE, 10)
    assert "can go: 9 runs" in gc("--keep-days", "5")
    assert "can go: 0 runs" in gc("--keep-days", "15")
    key = next(r.key for r in Cache(CACHE).all_records() if r.params.get("train", {}).get("rate") == 1e-3)
    Path("logs").mkdir(exist_ok=True)
    Path("logs/runner.jsonl").write_text(json.dumps({"key": key, "how": "restored", "at": int(time.time())}) + "\n{")
    assert "can go: 8 runs" in gc("--keep-days", "5")
    with pytest.raises(SystemExit, match="error: --keep-days -1: must be 0 or more"):
        gc("--keep-days=-1")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (".dvc/tmp/run.d/train@full-1.lock", "error: train@full-1: runs now; nothing is deleted"),
        (".dvc/tmp/drivers/x.driver", "error: Snakemake runs in this project"),
    ],
)
def test_never_while_a_stage_or_snakemake_runs(twice, gc, held, said):
    before = files()
    Path(held).parent.mkdir(parents=True, exist_ok=True)
    with Path(held).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match=said):
            gc("--keep-days", "0", "--force")
        assert "can go: 9 runs" in gc("--keep-days", "0")
    assert files() == before


def test_a_shared_cache_is_said_to_be_one_and_keeps_a_day(twice, gc, tmp_path):
    shared = tmp_path / "shared"
    CACHE.rename(shared)
    Path(".dvc/config.local").write_text(f"[cache]\n    dir = {shared}\n")
    said = gc("--keep-days", "0")
    assert f"the cache {shared} is outside this checkout: another checkout may need what can go" in said
    assert "can go: 0 runs" in said
    age(shared, 2)
    assert "deleted 9 runs" in gc("--keep-days", "0", "--force")
    assert whole(shared)


def test_leftovers(twice, gc):
    pipeline, store = load_pipeline(), Store()
    finished = store.last(pipeline.stage("train@full-1")).key[:16]
    edit("rate: 1e-2", "rate: 1e-1")
    pipeline = load_pipeline()
    started = Audit(pipeline, store).wanted(pipeline.stage("train@full-1")).key[:16]
    for path in (f"train@full-1/{finished}", f"train@full-1/{started}", "train@full-1/0123456789abcdef", "gone/1"):
        (Path(".ckpt") / path).mkdir(parents=True)
        (Path(".ckpt") / path / "state").write_text("x" * 100)
    altered = Path(".dvc/tmp/altered/0/artifacts")
    altered.mkdir(parents=True)
    (altered / "rows.json").write_text("mine")
    said = gc("--force")
    assert f".ckpt/train@full-1/{finished}: checkpoint of a run that has finished, 100 bytes" in said
    assert "1 leftovers" in said
    said = gc("--keep-days", "0", "--force")
    assert ".dvc/tmp/altered/0: outputs that were edited by hand and set aside, 4 bytes" in said
    assert [p.name for p in Path(".ckpt").glob("*/*")] == [started]
    assert not list(Path(".dvc/tmp/altered").glob("*"))


def test_a_record_that_cannot_be_read_goes_and_its_neighbours_stay(twice, gc):
    folder = next((CACHE / "runs").glob("*/*"))
    (folder / ("0" * 64)).write_text("{")
    gc("--keep-days", "0", "--force")
    assert whole()
    assert len(list(Cache(CACHE).all_records())) == STAGES
