"""The driver where a cache or the remote is damaged or lacks an object: what becomes a job, and what is said."""

import json

import pytest
from bridge_kit import ALL, EVALUATE
from driver_kit import SCORE, drive, plan, rot, with_remote, without_outputs


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
    assert plan(toy)[0] == {"source": 1}
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
