"""`spectrum status`, `impact`, `accept` and `watch` on the toy project."""

import json
import shutil
import time

from bridge_kit import EVALUATE, TRAIN, Toy


def states(toy: Toy) -> dict[str, tuple[str, str]]:
    """State and reason of every stage, as `spectrum status` prints them."""
    rows = [line.split(maxsplit=2) for line in toy.spectrum("status").stdout.splitlines()[1:]]
    return {row[0]: (row[1], row[2].strip() if len(row) > 2 else "") for row in rows}


def test_status_of_a_project_that_never_ran_and_of_one_that_did(fresh, toy):
    assert set(states(fresh).values()) == {("missing", "never made")}
    assert set(states(toy).values()) == {("cached", "")}


def test_status_says_why_a_stage_is_stale(toy):
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    toy.edit("src/toy/late.py", "1000", "10")
    (toy.root / "artifacts/t/source/rows.json").write_text("[0]")
    found = states(toy)
    assert found["train@full-1"] == ("stale", "train.rate: 0.001 -> 0.01")
    assert found["evaluate@full-1"] == ("stale", "src/toy/late.py changed")
    assert found["table"] == ("stale", "below evaluate@anchor-1 and 3 more")
    assert found["source"] == ("stale", "artifacts/t/source was altered: delete it and run again")
    assert found["weights@full"][0] == "stale"


def test_status_knows_a_variant_that_is_in_the_cache(toy):
    toy.edit("params.yaml", "samples: 2", "samples: 3")
    toy.make()
    toy.edit("params.yaml", "samples: 3", "samples: 2")
    assert states(toy)["evaluate@full-1"] == ("stale", "evaluate.samples: 3 -> 2 (this variant is in the cache)")


def test_status_tells_restorable_from_missing(toy):
    shutil.rmtree(toy.root / "artifacts/t/source")
    assert states(toy)["source"] == ("cached", "artifacts/t/source: restored when needed")
    shutil.rmtree(toy.root / ".dvc/cache/files")
    assert states(toy)["source"] == ("missing", "artifacts/t/source: neither here nor in the cache")


def test_impact_of_code_queries_data_and_documents(toy):
    def of(file: str) -> str:
        return " ".join(toy.spectrum("impact", file).stdout.splitlines()[1].split())

    assert of("src/toy/dapo.py") == "src/toy/dapo.py train (4) evaluate (4), table"
    assert of("src/toy/queries/table.sql") == "src/toy/queries/table.sql table"
    assert of("given/first.json") == "given/first.json source weights (2), train (4), evaluate (4), table"
    assert of("Snakefile") == "Snakefile nothing"
    done = toy.spectrum("impact", "no/such/file", check=False)
    assert done.stderr == "error: no/such/file: no such file, and no stage reads it\n"


def test_accept_keeps_the_results_of_a_refactor_and_writes_that_it_did(toy):
    before = toy.outputs()
    toy.edit("src/toy/dapo.py", "state * (1 - float(rate) * p)", "state * (1 - p * float(rate))")
    assert states(toy)["train@full-1"] == ("stale", "src/toy/dapo.py changed")
    out = toy.spectrum("accept", "train", "--reason", "factors in another order").stdout
    assert out.count("accepted\n") == 4
    assert set(states(toy).values()) == {("cached", "")}
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
    done = toy.spectrum("accept", "train", check=False)
    assert done.returncode == 1
    assert "train@full-1: cannot be accepted, more than its code changed: train.rate: 0.001 -> 0.01" in done.stderr
    assert not (toy.root / ".dvc/accepted.jsonl").exists()
    assert "nothing to accept" in toy.spectrum("accept", "table").stdout
    assert "no stage 'nothing'" in toy.spectrum("accept", "nothing", check=False).stderr


def test_watch_shows_what_is_running(toy):
    assert "no stage is running" in toy.spectrum("watch", "--once").stdout
    state = {"label": "train", "done": 10, "total": 40, "fields": {"reward": 0.25}, "pid": 1}
    state |= {"started": time.time() - 20, "updated": time.time()}
    (toy.root / "logs/train/train@full-1/progress.json").write_text(json.dumps(state))
    line = toy.spectrum("watch", "--once").stdout
    for part in ("train@full-1", "10/40", "1:0", "to go", "reward 0.25"):
        assert part in line
    state["updated"] -= 3600
    (toy.root / "logs/train/train@full-1/progress.json").write_text(json.dumps(state))
    assert "no stage is running" in toy.spectrum("watch", "--once").stdout


def test_addresses_are_what_the_kit_thinks(toy):
    assert states(toy).keys() >= TRAIN | EVALUATE
