"""What `snakedvc accept` refuses, in the toy project: a value that changed, however it is listed, or is not known."""

import json

import pytest
from bridge_kit import Toy


def refused(toy: Toy, stage: str, *options: str) -> str:
    """Why a stage cannot be accepted."""
    done = toy.snakedvc("accept", stage, *options, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert not (toy.root / ".dvc/accepted.jsonl").exists()
    return line.partition("cannot be accepted: ")[2]


@pytest.mark.parametrize("split_first", [False, True])
def test_params_that_are_listed_otherwise_are_compared_all_the_same(toy, split_first):
    whole, split = "      - train\n", "      - train.steps\n      - train.rate\n      - train.backend\n"
    if split_first:
        toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
        toy.edit("dvc.yaml", whole, split)
        toy.make()
        whole, split = split, whole
    toy.edit("dvc.yaml", whole, split)
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    assert refused(toy, "train", "--wiring") == "more than its code changed: train.steps: 3 -> 4"
    toy.edit("params.yaml", "steps: 4", "steps: 3")
    assert toy.snakedvc("accept", "train", "--wiring").stdout.count(": accepted\n") == 4
    assert toy.ran() == set()


def test_what_one_list_has_and_the_other_does_not_cover_is_wiring(toy):
    toy.edit("dvc.yaml", "      - train\n", "      - train.steps\n      - train.rate\n")
    toy.edit("params.yaml", "train: {", "train: {more: 1, ")
    assert toy.snakedvc("accept", "train", "--wiring").stdout.count(": accepted\n") == 4
    toy.edit("dvc.yaml", "      - train.steps\n      - train.rate\n", "      - train\n")
    assert toy.snakedvc("accept", "train", "--wiring").stdout.count(": accepted\n") == 4


def test_null_and_another_kind_of_value_are_other_values(toy):
    toy.edit("src/toy/stages/table.py", '"""Stage table', '"""The stage table')
    before = "{digits: 3}"
    for now, said in (
        ("{digits: 3, more: null}", "table.more: absent -> None"),
        ("{digits: 3.0}", "table.digits: 3 -> 3.0"),
        ("{}", "table.digits: 3 -> absent"),
        ("{digits: {of: 3}}", "table.digits: 3 -> absent"),
    ):
        toy.edit("params.yaml", f"table: {before}", f"table: {now}")
        before = now
        assert refused(toy, "table") == refused(toy, "table", "--wiring") == f"more than its code changed: {said}"


def test_a_renamed_dep_is_wiring_where_its_content_is_the_same(toy):
    (toy.root / "given").rename(toy.root / "handed")
    toy.edit("dvc.yaml", "--given given", "--given handed")
    toy.edit("dvc.yaml", "      - given\n", "      - handed\n")
    first = toy.root / "handed/first.json"
    content = first.read_bytes()
    first.write_bytes(b"2\n")
    assert refused(toy, "source", "--wiring") == "more than its code changed: handed has other content than given"
    first.write_bytes(content)
    assert "given is no longer a dep" not in toy.snakedvc("accept", "source", "--wiring").stderr
    (line,) = [json.loads(line) for line in toy.text(".dvc/accepted.jsonl").splitlines()]
    assert line["other"] == ["its command in dvc.yaml changed", "given is no longer a dep", "handed is a new dep"]
    assert toy.ran() == set()


def test_an_input_whose_content_is_not_known_is_refused(toy):
    """As after a listing was lost: the outputs may have been made from something else."""
    md5 = json.loads(toy.text(".dvc/tmp/lock.json"))["stages"]["evaluate@full-replicate0"]["outs"][0]["md5"]
    (toy.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    toy.edit("src/toy/stages/table.py", '"""Stage table', '"""The stage table')
    why = "the content of its input artifacts/t/evaluate is not known, since the cache has lost a list of its files: "
    assert refused(toy, "table") == f"{why}`snakemake -R evaluate`"
    assert f"table: not accepted: {why}" in toy.snakedvc("accept", "--all").stdout
    toy.command("snakemake", "--profile", "local", "-R", "evaluate")
    assert "table" not in toy.ran()
