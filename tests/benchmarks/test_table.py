"""The table of benchmarks on made-up measurements: figures, goals, and what an empty row says.  Nothing is timed."""

import csv
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.raw import save
from benchmarks.table.__main__ import make
from benchmarks.table.row import Cell, Goal, Row, Script, find
from benchmarks.table.rows import all_rows, all_scripts
from benchmarks.table.run import main, run


def row(goal: Goal, **more) -> Row:
    ours, peer = (Cell("a.csv", "seconds", {"who": who}) for who in ("ours", "peer"))
    return Row("a step", "s", ours, goal, "peer", peer, **more)


def write(folder: Path, lines: list[tuple[str, ...]], header: str = "who,seconds,device,why") -> None:
    (folder / "a.csv").write_text("\n".join([header, *(",".join(line) for line in lines)]) + "\n")


@pytest.mark.parametrize(
    ("goal", "reached", "verdict"),
    [
        (Goal(most=0.5), True, "yes, 0% below it"),
        (Goal(most=0.4), False, "no, 25% above it"),
        (Goal(least=1.0), False, "no, 50% below it"),
        (Goal(least=0.25), True, "yes, 100% above it"),
        (Goal(most=3.0, of="ours"), True, "yes, 33% below it"),
        (Goal(most=1.0, of="ours"), False, "no, 100% above it"),
        (Goal(most=0.0, of="ours"), False, "no: 2"),
    ],
)
def test_a_goal_is_of_the_ratio_or_of_our_figure(tmp_path, goal, reached, verdict):
    write(tmp_path, [("ours", "2", "cpu", ""), ("peer", "4", "cpu", "")])
    (entry,) = find(row(goal), tmp_path)
    assert (entry.ours, entry.peer, entry.ratio) == (2, 4, 0.5)
    assert (entry.reached, entry.verdict()) == (reached, verdict)


def test_repeats_are_a_median_and_devices_stay_apart(tmp_path):
    write(tmp_path, [("ours", s, "cpu", "") for s in "193"] + [("peer", "6", "cpu", ""), ("ours", "1", "gpu", "")])
    cpu, gpu = find(row(Goal(most=1)), tmp_path)
    assert (cpu.device, cpu.ours, cpu.ratio) == ("cpu", 3, 0.5)
    assert (gpu.device, gpu.ours, gpu.ratio, gpu.reached) == ("gpu", 1, None, None)
    assert gpu.verdict() == "no figure of peer"


def test_an_empty_row_says_why(tmp_path):
    (entry,) = find(row(Goal(most=1), missing="no GPU"), tmp_path)
    assert (entry.ours, entry.reached, entry.verdict()) == (None, None, "no GPU")
    write(tmp_path, [("ours", "", "cpu", "vLLM is not installed")])
    assert [e.verdict() for e in find(row(Goal(most=1)), tmp_path)] == ["vLLM is not installed"]
    write(tmp_path, [("ours", "1", "cpu", ""), ("peer", "", "cpu", "took too long")])
    assert [e.verdict() for e in find(row(Goal(most=1)), tmp_path)] == ["took too long"]
    write(tmp_path, [("someone", "1", "cpu", "")])
    assert [e.verdict() for e in find(row(Goal(most=1)), tmp_path)] == ["not measured yet"]


def test_the_files_say_what_the_csvs_say(tmp_path, capsys):
    write(tmp_path, [("ours", "1234.5", "cpu", ""), ("peer", "1000", "cpu", "")])
    limit = Cell("a.csv", "seconds", {"who": "peer"})
    make([row(Goal(most=1), limit_name="product", limit=limit), Row("b", "s", Cell("b.csv", "x"), Goal())], tmp_path)
    first, second = csv.DictReader((tmp_path / "table.csv").open())
    assert first | {"file": ""} == {
        "what": "a step", "device": "cpu", "ours": "1234", "unit": "s", "peer": "1000", "peer_name": "peer",
        "ratio": "1.23", "limit": "1000", "limit_name": "product", "goal": "≤ 1x", "reached": "no, 23% above it",
        "revision": "", "file": "",
    }  # fmt: skip
    assert (second["ours"], second["reached"]) == ("", "not measured yet")
    assert (
        "| a step | cpu | 1234 s | peer: 1000 | 1.23 | product: 1000 | ≤ 1x | no, 23% above it |"
        in (tmp_path / "table.md").read_text()
    )
    assert "not measured yet" in capsys.readouterr().out


def test_raw_rows_of_other_devices_stay(tmp_path):
    path = tmp_path / "a.csv"
    save(path, [{"who": "ours", "seconds": 1}], "cpu")
    save(path, [{"who": "ours", "seconds": 2, "why": ""}], "gpu")
    save(path, [{"who": "ours", "seconds": 3}], "cpu")
    lines = list(csv.DictReader(path.open()))
    assert [(line["device"], line["seconds"]) for line in lines] == [("gpu", "2"), ("cpu", "3")]
    assert all(line["revision"] for line in lines)
    save(path, [{"who": "peer", "seconds": 4}], "cpu", by=["who"])
    save(path, [{"who": "ours", "seconds": 5}], "cpu", by=["who"])
    lines = list(csv.DictReader(path.open()))
    assert [(line["who"], line["seconds"]) for line in lines] == [("ours", "2"), ("peer", "4"), ("ours", "5")]


def test_every_group_is_well_declared():
    rows, scripts = all_rows(), all_scripts()
    assert len({r.what for r in rows}) == len(rows) > 10
    assert len({s.name for s in scripts}) == len(scripts)
    for r in rows:
        assert (r.goal.most is None) != (r.goal.least is None), r.what
        assert (r.goal.of == "ours") or r.peer is not None, r.what
        assert (r.peer is None) == (not r.peer_name), r.what
        assert (r.limit is None) == (not r.limit_name), r.what


def test_a_benchmark_that_fails_is_named_and_the_others_go_on(capfd):
    assert run(Script("good", ("-c", "pass")))
    assert not run(Script("bad", ("-c", "raise SystemExit(3)")))
    out, err = capfd.readouterr()
    assert "benchmark good: " in out
    assert "benchmark bad: exit 3" in err
    with pytest.raises(SystemExit):
        main(["--only", "nobody"])
    assert "invalid choice: 'nobody'" in capfd.readouterr().err
