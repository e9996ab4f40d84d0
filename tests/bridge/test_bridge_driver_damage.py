"""The driver where a cache or the remote is damaged or lacks an object: what becomes a job, and what is said."""

import errno
import hashlib
import json
import logging
import os
from types import SimpleNamespace

import pytest
from bridge_kit import ALL, EVALUATE, ROOT, Toy
from driver_kit import SCORE, drive, plan, rot, snapshot, with_remote, without_outputs

from snakedvc.dvcfiles import store
from snakedvc.dvcfiles.cache import Cache, DamagedObjectError, MissingObjectError
from snakedvc.dvcfiles.digest import listing_bytes
from snakedvc.dvcfiles.dvc_remote import DvcRemote
from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.locks import half_written
from snakedvc.dvcfiles.remote import FolderRemote
from snakedvc.planning.driver import Driver


@pytest.mark.parametrize("remote", [False, True])
def test_a_stage_whose_object_is_damaged_everywhere_is_a_job_and_no_other(toy, tmp_path, remote):
    before = toy.outputs()
    content = before["artifacts/t/train/full-s1/policy/state.json"]
    if remote:
        rot(with_remote(toy, tmp_path / "remote").root / ".dvc/cache", content)
        rot(tmp_path / "remote", content)
    else:
        rot(toy.root / ".dvc/cache", content)
    without_outputs(toy)
    ran, how, text = drive(toy)
    assert ran == {"train": 1}
    assert how.pop("train@full-1") == "ran"
    assert how == dict.fromkeys(ALL - {"train@full-1"}, "restored")
    assert "damaged" in text
    assert toy.outputs() == before
    assert drive(toy)[:2] == ({}, {})


def test_a_damaged_folder_listing_is_named_and_its_stage_is_a_job(toy):
    """Also where the stages below are in the cache, so that nothing reads the folder."""
    before = toy.outputs()
    md5 = json.loads(toy.text(".dvc/tmp/lock.json"))["stages"]["source"]["outs"][0]["md5"]
    listing = toy.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    listing.chmod(0o644)
    listing.write_bytes(listing.read_bytes().replace(b"a", b"b", 1))
    without_outputs(toy)
    lying = snapshot(toy.root)
    assert plan(toy)[0] == {"source": 1}
    assert snapshot(toy.root) == lying  # a dry run makes nothing in the place of what it cannot bring back
    ran, how, text = drive(toy)
    assert (ran, how.pop("source")) == ({"source": 1}, "ran")
    assert how == dict.fromkeys(ALL - {"source"}, "restored")
    assert f"source: cache object {md5} is damaged and is not used" in text
    assert toy.outputs() == before


def test_a_lost_output_that_nothing_needs_runs_nothing_and_one_that_is_needed_does(toy):
    before = toy.outputs()
    without_outputs(toy)
    lost = before["artifacts/t/train/full-s1/policy/state.json"]
    (path,) = [p for p in toy.objects() if p.read_bytes() == lost]
    path.unlink()
    assert plan(toy)[0] == {}
    assert plan(toy, SCORE, "artifacts/t/train/full-s1/policy")[0] == {"train": 1}
    toy.edit("params.yaml", "samples: 2", "samples: 3")
    assert plan(toy)[0] == {"train": 1, "evaluate": 4, "table": 1}
    ran, how, _ = drive(toy)
    assert ran == {"train": 1, "evaluate": 4, "table": 1}
    assert {a for a, h in how.items() if h == "ran"} == {"train@full-1", "table"} | EVALUATE


def test_a_damaged_object_in_the_remote_is_noticed_and_mended_by_the_next_push(toy, tmp_path):
    before = toy.outputs()
    with_remote(toy, tmp_path / "remote")
    content = before["artifacts/t/weights/full/rule.json"]
    rot(tmp_path / "remote", content)
    clone = toy.clone(tmp_path / "clone")
    ran, how, text = drive(clone)
    assert ran == {"weights": 1}
    assert {a for a, h in how.items() if h == "ran"} == {"weights@full"}
    assert "in the remote is damaged" in text
    assert clone.outputs() == before
    clone.snakedvc("push")
    third = toy.clone(tmp_path / "third")
    assert set(third.make().values()) == {"restored"}


@pytest.mark.parametrize("sound", [True, False])
def test_a_dry_run_asks_the_remote_for_what_is_damaged_here(toy, tmp_path, sound):
    with_remote(toy, tmp_path / "remote")
    md5 = json.loads(toy.text(".dvc/tmp/lock.json"))["stages"]["source"]["outs"][0]["md5"]
    listing = toy.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    listing.chmod(0o644)
    listing.write_bytes(b"rotten")
    if not sound:
        (tmp_path / "remote/files/md5" / md5[:2] / md5[2:]).unlink()
    without_outputs(toy)
    lying = snapshot(toy.root)
    assert plan(toy)[0] == ({} if sound else {"source": 1})
    assert snapshot(toy.root) == lying
    ran, how, _ = drive(toy)
    assert (ran, how["source"]) == (({}, "restored") if sound else ({"source": 1}, "ran"))


# A restore that does not end


def settle(toy: Toy, monkeypatch, addr: str) -> None:
    """What a driver does first, in this process."""
    monkeypatch.chdir(toy.root)
    Driver(load_pipeline(), True, lambda _: False, lambda _: False).settle(addr)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("twice", [False, True])
def test_what_an_interrupted_restore_left_is_no_edit(toy, monkeypatch, twice):
    """With Ctrl-C, and with a second one while the part is removed."""
    before = toy.outputs()
    without_outputs(toy)
    whole = Cache._restore_file

    def first_file_only(self, md5, target):
        whole(self, md5, target)
        interrupt()

    with monkeypatch.context() as patch:
        patch.setattr(Cache, "_restore_file", first_file_only)
        if twice:
            patch.setattr(store, "remove", interrupt)
        with pytest.raises(KeyboardInterrupt):
            settle(toy, patch, "source")
        assert half_written("source")
        assert (toy.root / "artifacts/t/source").exists() is twice
    ran, how, text = drive(toy)
    assert (ran, how) == ({}, dict.fromkeys(ALL, "restored"))
    assert "is not what stage" not in text
    assert not (toy.root / ".dvc/tmp/altered").exists()
    assert not list((toy.root / ".dvc/tmp/writing").iterdir())
    assert toy.outputs() == before


def test_an_edit_is_kept_where_the_fetch_for_its_restore_was_interrupted(toy, tmp_path, monkeypatch):
    with_remote(toy, tmp_path / "remote")
    for path in toy.objects():
        path.unlink()
    (toy.root / "artifacts/t/source/rows.json").write_text("edited")
    with monkeypatch.context() as patch:
        patch.setattr(FolderRemote, "fetch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            settle(toy, patch, "source")
        assert not half_written("source")
    assert drive(toy)[0] == {}
    assert toy.text(".dvc/tmp/altered/0/artifacts/t/source/rows.json") == "edited"
    assert toy.text("artifacts/t/source/rows.json") == "[0, 1, 2, 3]\n"


# A full disk


FULL = """
import errno, os
from snakedvc.dvcfiles import cache

def clone(source, target):
    raise OSError(errno.{name}, os.strerror(errno.{name}), str(target))

cache.clone = clone
"""


@pytest.mark.parametrize(
    ("name", "said", "fetched"),
    [
        ("ENOSPC", "the disk is full", False),
        ("EDQUOT", "the disk is full", True),
        ("EROFS", "this disk can only be read", True),
    ],
)
def test_a_full_disk_during_a_restore_is_one_line_and_computes_nothing(toy, tmp_path, fetched, name, said):
    with_remote(toy, tmp_path / "remote")
    without_outputs(toy)
    if fetched:
        for path in toy.objects():
            path.unlink()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/sitecustomize.py").write_text(FULL.format(name=name))
    path = f"{tmp_path / 'full'}:{ROOT / 'src'}"
    before = toy.journal()
    done = toy.command("snakemake", "--profile", "local", check=False, PYTHONPATH=path)
    assert done.returncode
    assert [line for line in done.stderr.splitlines() if "error: " in line and said in line]
    assert "Traceback" not in done.stderr
    assert "did not answer" not in done.stderr
    assert toy.journal() == before
    job = toy.run("source", check=False, PYTHONPATH=path)
    assert job.stderr.startswith("error: source: ")
    assert said in job.stderr
    assert [entry["how"] for entry in toy.journal()[len(before) :]] == ["failed"]
    assert toy.make("artifacts/t/source") == {"source": "restored"}


def test_a_full_disk_that_dvc_only_logs_is_raised(tmp_path, monkeypatch):
    """DVC logs the error of each object that it cannot fetch, by a function of its own, and goes on."""
    from dvc_data.hashfile.transfer import _log_exception

    class Cloud:
        def pull(self, _):
            _log_exception("ab", OSError(self.number, os.strerror(self.number)))

    remote, cache = DvcRemote(), Cache(tmp_path)
    remote.__dict__["_repo"] = type("Repo", (), {"cloud": Cloud()})
    monkeypatch.setattr(Cloud, "number", errno.ECONNRESET, raising=False)
    assert remote.fetch(["ab"], cache) == []
    monkeypatch.setattr(Cloud, "number", errno.EDQUOT)
    with pytest.raises(OSError, match="quota") as caught:
        store.ask_remote(remote.fetch, ["ab"], cache, default=[])
    assert caught.value.errno == errno.EDQUOT
    assert not logging.getLogger("dvc_data.hashfile.transfer").filters


@pytest.mark.parametrize("content", [b"[", b"{}", b'[{"md5": "ab", "relpath": "other"}]'])
def test_a_damaged_listing_in_a_remote_of_dvc_is_damaged_and_not_what_it_says(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    whole = listing_bytes({"rows.json": "ab"})
    name = hashlib.md5(whole, usedforsecurity=False).hexdigest() + ".dir"
    odb = SimpleNamespace(oid_to_path=lambda md5: tmp_path / md5, fs=SimpleNamespace(open=open))
    remote, here = DvcRemote(), store.Store()
    remote.__dict__ |= {"_repo": SimpleNamespace(cloud=SimpleNamespace(get_remote_odb=lambda: odb)), "_keys": {}}
    here.remote = remote
    with pytest.raises(MissingObjectError):
        here.listing_elsewhere(name)  # as `status` asks
    (tmp_path / name).write_bytes(whole)
    assert here.listing_elsewhere(name) == {"rows.json": "ab"}
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DamagedObjectError):
        remote.listing(name)
    with pytest.raises(MissingObjectError):
        here.listing_elsewhere(name)
