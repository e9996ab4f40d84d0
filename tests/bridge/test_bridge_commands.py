"""`snakedvc status`, `impact` and `accept`, and `spectrum watch`, on the toy project."""

import json
import re
import shutil
import time

import pytest
from bridge_kit import EVALUATE, THREE, TRAIN, TWO, Toy
from driver_kit import snapshot

from snakedvc.dvcfiles.locks import exclusive


def states(toy: Toy) -> dict[str, tuple[str, str]]:
    """State and reasons of every stage."""
    rows = json.loads(toy.snakedvc("status", "--json", check=False).stdout)
    return {row["stage"]: (row["state"], "; ".join(row["why"])) for row in rows}


def test_status_of_a_project_that_never_ran_and_of_one_that_did(fresh, toy):
    assert set(states(fresh).values()) == {("missing", "never made")}
    assert set(states(toy).values()) == {("in place", "")}
    assert fresh.snakedvc("status", check=False).returncode == 2
    done = toy.snakedvc("status")
    assert done.stdout.splitlines()[-1] == "12 stages: 12 in place"
    size = r"[\d.,]+ (bytes|[kMGT]B)"
    assert re.fullmatch(
        rf"disk: artifacts {size}, results {size}, cache {size}; {size} free", done.stdout.splitlines()[-2]
    )


def test_status_says_why_a_stage_is_stale(toy):
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    toy.edit("src/toy/late.py", "1000", "10")
    (toy.root / "artifacts/t/source/rows.json").write_text("[0]")
    found = states(toy)
    assert found["train@full-1"] == ("stale", "train.rate: 0.001 -> 0.01")
    assert found["evaluate@full-1"] == ("stale", "src/toy/late.py changed; below train@full-1")
    assert found["table"] == ("stale", "below evaluate@anchor-1 and 3 more")
    assert found["source"] == ("cached", "artifacts/t/source was altered")
    assert found["weights@full"] == ("in place", "")


def test_status_is_a_line_a_template_and_details_of_what_is_named(toy):
    toy.edit("params.yaml", "rate: 1e-3, backend: plain", "rate: 1e-2, backend: fancy")
    done = toy.snakedvc("status", check=False)
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    (train,) = [line for line in lines if line.startswith("train ")]
    assert train.startswith("train 4 stale train.rate: 0.001 -> 0.01 (and ")
    assert train.endswith("more: status train)")
    assert lines[-1] == "12 stages: 3 in place, 9 stale"
    named = [" ".join(line.split()) for line in toy.snakedvc("status", "train", check=False).stdout.splitlines()]
    assert len(named) == 1 + 4 + 1
    assert "train.rate: 0.001 -> 0.01" in named[1]
    assert "src/toy/backends/fancy is a new dep" in named[1]
    assert "weights" not in toy.snakedvc("status", "--state", "stale", check=False).stdout
    assert toy.snakedvc("status", "weights").returncode == 0
    assert "no stage 'nothing'" in toy.snakedvc("status", "nothing", check=False).stderr


def test_status_knows_what_is_in_the_cache_though_something_else_ran_meanwhile(toy):
    """Another variant, and another preset, whose outputs lie elsewhere."""
    toy.edit("params.yaml", "samples: 2", "samples: 3")
    toy.make()
    toy.edit("params.yaml", "samples: 3", "samples: 2")
    assert states(toy)["evaluate@full-1"] == ("cached", "artifacts/t/evaluate/full-s1 was altered")
    toy.edit("params.yaml", "preset: t", "preset: other")
    toy.make()
    toy.edit("params.yaml", "preset: other", "preset: t")
    found = states(toy)
    assert {state for state, _ in found.values()} <= {"in place", "cached"}
    assert found["train@full-1"] == ("in place", "")
    assert toy.ran() == set()


def test_status_tells_restorable_from_missing(toy):
    shutil.rmtree(toy.root / "artifacts/t/source")
    assert states(toy)["source"] == ("cached", "")
    md5 = json.loads(toy.text(".dvc/tmp/lock.json"))["stages"]["source"]["outs"][0]["md5"]
    listing = toy.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    listing.chmod(0o644)
    listing.write_bytes(b"rotten")
    assert states(toy)["source"][0] == "missing"
    assert listing.exists()
    shutil.rmtree(toy.root / ".dvc/cache/files")
    assert states(toy)["source"] == ("missing", "artifacts/t/source: neither here nor in the cache")


@pytest.mark.parametrize("pushed_by", ["snakedvc", "dvc"])
def test_status_of_a_fresh_clone_looks_into_the_remote(toy, tmp_path, pushed_by):
    toy.command("dvc", "remote", "add", "-d", "store", str(tmp_path / "remote"))
    toy.command(pushed_by, "push")
    clone = toy.clone(tmp_path / "clone")
    if pushed_by == "snakedvc":
        (clone.root / "dvc.lock").unlink()  # then nothing but the remote has the records
    before = snapshot(clone.root)
    assert set(states(clone).values()) == {("cached", "in the remote")}
    assert clone.snakedvc("status").returncode == 0
    assert snapshot(clone.root) == before
    rows = toy.outputs()["artifacts/t/source/rows.json"]
    (path,) = [p for p in (tmp_path / "remote/files").rglob("*") if p.is_file() and p.read_bytes() == rows]
    path.unlink()
    found = states(clone)
    assert found.pop("source") == ("missing", "artifacts/t/source: neither here nor in the cache nor in the remote")
    assert set(found.values()) == {("cached", "in the remote")}
    clone.edit("params.yaml", "samples: 2", "samples: 3")
    assert states(clone)["train@full-1"] == ("cached", "in the remote")
    assert states(clone)["evaluate@full-1"][0] in ("missing", "stale")
    assert clone.snakedvc("status", check=False).returncode == 2


def test_status_asks_a_remote_that_cannot_be_reached_once(toy):
    toy.command("dvc", "remote", "add", "-d", "store", "ssh://nobody@127.0.0.1:1/nowhere")
    assert "did not answer" not in toy.snakedvc("status").stderr  # all is here
    shutil.rmtree(toy.root / "artifacts")
    shutil.rmtree(toy.root / ".dvc/cache/files")
    done = toy.snakedvc("status", check=False)
    assert (done.returncode, done.stderr.count("the DVC remote did not answer")) == (2, 1)


def test_impact_of_code_queries_data_and_documents(toy):
    def of(file: str) -> str:
        return " ".join(toy.snakedvc("impact", file).stdout.splitlines()[1].split())

    assert of("src/toy/dapo.py") == "src/toy/dapo.py train (4) evaluate (4), table"
    assert of("src/toy/queries/table.sql") == "src/toy/queries/table.sql table"
    assert of("given/first.json") == "given/first.json source weights (2), train (4), evaluate (4), table"
    assert of("Snakefile") == "Snakefile nothing"
    done = toy.snakedvc("impact", "no/such/file", check=False)
    assert done.stderr == "error: no/such/file: no such file, and no stage reads it\n"


def test_accept_keeps_the_results_of_a_refactor_and_writes_that_it_did(toy):
    before = toy.outputs()
    toy.edit("src/toy/dapo.py", "state * (1 - float(rate) * p)", "state * (1 - p * float(rate))")
    assert states(toy)["train@full-1"] == ("stale", "src/toy/dapo.py changed")
    out = toy.snakedvc("accept", "train", "--reason", "factors in another order").stdout
    assert out.count("accepted\n") == 4
    assert set(states(toy).values()) == {("in place", "")}
    lines = [json.loads(line) for line in toy.text(".dvc/accepted.jsonl").splitlines()]
    assert {line["stage"] for line in lines} == TRAIN
    assert {line["reason"] for line in lines} == {"factors in another order"}
    assert {tuple(line["code"]) for line in lines} == {("src/toy/dapo.py",)}
    assert toy.text("logs/accepted.jsonl") == toy.text(".dvc/accepted.jsonl")
    ignored = toy.command("git", "check-ignore", ".dvc/accepted.jsonl", check=False)
    assert ignored.returncode == 1
    assert "ran" not in toy.make().values()
    assert toy.outputs() == before
    assert "up to date" in toy.command("dvc", "status").stdout


def test_accept_refuses_more_than_code(toy):
    toy.edit("src/toy/dapo.py", "return", "return  +1 *")
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    done = toy.snakedvc("accept", "train", check=False)
    assert done.returncode == 1
    assert "cannot be accepted: more than its code changed: train.rate: 0.001 -> 0.01" in done.stderr
    assert not (toy.root / ".dvc/accepted.jsonl").exists()
    assert "no stage 'nothing'" in toy.snakedvc("accept", "nothing", check=False).stderr
    assert "nothing to accept" in toy.snakedvc("accept", "source").stdout
    assert "name one stage, or give --all" in toy.snakedvc("accept", check=False).stderr


def test_accept_all_takes_what_it_can_in_one_call_and_lists_the_rest(toy):
    """After a file was renamed, another preset ran, and a seed was added that never ran."""
    toy.edit("params.yaml", "preset: t", "preset: other")
    toy.make()
    toy.edit("params.yaml", "preset: other", "preset: t")
    (toy.root / "src/toy/dapo.py").rename(toy.root / "src/toy/steps.py")
    for way in ("plain", "fancy"):
        toy.edit(f"src/toy/backends/{way}/step.py", "toy.dapo", "toy.steps")
    toy.edit("src/toy/files.py", "Params and files", "Files and params")
    toy.edit("params.yaml", TWO, THREE)
    toy.snakedvc("deps")
    done = toy.snakedvc("accept", "--all", "--reason", "a rename")
    assert done.stdout.count(": accepted\n") == 11
    assert "train@full-3: not accepted: never made" in done.stdout
    assert "table: not accepted: its input from evaluate@anchor-3 is not there" in done.stdout
    found = states(toy)
    assert {addr for addr, (state, _) in found.items() if state != "in place"} == {
        *("train@full-3", "train@anchor-3", "evaluate@full-3", "evaluate@anchor-3", "table")
    }
    toy.edit("params.yaml", THREE, TWO)
    assert toy.snakedvc("accept", "--all").stdout == "table: accepted\nwritten to .dvc/accepted.jsonl\n"
    assert toy.ran() == set()


def test_accept_takes_another_command_or_list_of_deps_only_as_wiring(toy):
    old, new = "--given given --out artifacts/${preset}/source", "--out artifacts/${preset}/source --given given"
    toy.edit("dvc.yaml", old, new)
    done = toy.snakedvc("accept", "source", check=False)
    assert "source: cannot be accepted: more than its code changed: its command in dvc.yaml changed" in done.stderr
    assert "source: accepted" in toy.snakedvc("accept", "source", "--wiring").stdout
    (line,) = [json.loads(line) for line in toy.text(".dvc/accepted.jsonl").splitlines()]
    assert line["other"] == ["its command in dvc.yaml changed"]
    assert toy.ran() == set()
    toy.edit("given/first.json", "0", "2")
    done = toy.snakedvc("accept", "source", "--wiring", check=False)
    assert "more than its code changed: given changed" in done.stderr


def test_watch_shows_what_is_running(toy):
    assert "no stage is running" in toy.command("spectrum", "watch", "--once").stdout
    state = {"label": "train", "done": 10, "total": 40, "fields": {"reward": 0.25}, "pid": 1}
    state |= {"started": time.time() - 20, "updated": time.time()}
    (toy.root / "logs/train/train@full-1/progress.json").write_text(json.dumps(state))
    line = toy.command("spectrum", "watch", "--once").stdout
    for part in ("train@full-1", "10/40", "1:0", "to go", "reward 0.25"):
        assert part in line
    state["updated"] -= 3600
    (toy.root / "logs/train/train@full-1/progress.json").write_text(json.dumps(state))
    assert "no stage is running" in toy.command("spectrum", "watch", "--once").stdout
    mark = toy.root / ".dvc/tmp/writing/train@full-2"
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    assert "no stage is running" in toy.command("spectrum", "watch", "--once").stdout  # it was killed
    with exclusive(toy.root / ".dvc/tmp/run.d/train@full-2.lock"):
        line = toy.command("spectrum", "watch", "--once").stdout
    assert "train@full-2" in line
    assert "has counted nothing yet" in line


def test_addresses_are_what_the_kit_thinks(toy):
    assert states(toy).keys() >= TRAIN | EVALUATE
