"""The stage as a user runs it: outputs in verl's schema, the report's counts, one line for a mistake."""

import hashlib
import json

import pytest
import yaml

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import PARAMS_ENV
from tokenspectrum.prompts import synthetic
from tokenspectrum.prompts.decontaminate import normalised_text
from tokenspectrum.stages.prompts import main
from tokenspectrum.tables.prompts import SCHEMA
from tokenspectrum.tokenlog.reader import check_folder, read_file

INSTRUCTION = "\nPut your final answer within \\boxed{}."


def lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def own(tmp_path):
    """A folder with 40 training problems of four levels, some bad for training, and a benchmark of 10."""
    bench = [{"problem": f"What is ${i} + {i}$?", "answer": str(2 * i), "solution": ""} for i in range(10)]
    train = [{"problem": f"Is {i} even?", "answer": str(i % 2), "level": i % 4} for i in range(40)]
    train += [
        {"problem": "what is 3+3 ?", "answer": "6", "level": 1},
        {"problem": "Is 5  even?", "answer": "1", "level": 1},
    ]
    train += [train[0]]
    lines(tmp_path / "in/bench.jsonl", bench)
    lines(tmp_path / "in/train.jsonl", train)
    return tmp_path / "in"


def file_source(path, **more):
    return {"kind": "file", "path": path, "format": "simple", **more}


def section(folder, **changes):
    values = {
        "folder": None if folder is None else str(folder),
        "instruction": INSTRUCTION,
        "decontaminate": True,
        "train": [{"name": "own", "source": file_source("train.jsonl")}],
        "benchmarks": [{"name": "Bench", "source": file_source("bench.jsonl")}],
    }
    return values | changes


@pytest.fixture
def stage(tmp_path, monkeypatch):
    def run(values):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"prompts": values}))
        monkeypatch.setenv(PARAMS_ENV, str(tmp_path / "params.yaml"))
        out = tmp_path / "out"
        main(["--out", str(out)])
        return out

    return run


def rows(path):
    return read_file(path, SCHEMA).to_pylist()


def test_the_table_is_what_verl_reads(own, stage):
    out = stage(section(own))
    check_folder(out / "train")
    check_folder(out / "benchmarks")
    first = rows(out / "benchmarks/Bench.parquet")[0]
    assert first == {
        "prompt_id": hashlib.blake2b(b"Bench\x1fWhat is $0 + 0$?", digest_size=8).hexdigest(),
        "data_source": "Bench",
        "prompt": [{"role": "user", "content": "What is $0 + 0$?" + INSTRUCTION}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "0"},
        "extra_info": {"split": "test", "index": 0, "problem": "What is $0 + 0$?", "meta": "{}"},
    }
    last = rows(out / "train/train.parquet")[-1]
    assert last["extra_info"] == {"split": "train", "index": 39, "problem": "Is 39 even?", "meta": '{"level": 3}'}


def test_the_report_counts_what_was_left_out(own, stage):
    out = stage(section(own))
    report = json.loads((out / "report.json").read_text())
    assert report == {
        "benchmarks": {"Bench": {"read": 10, "left_out": 0, "repeated": 0, "chosen": 10}},
        "train": {
            "own": {
                "read": 43,
                "left_out": 0,
                "repeated": 1,
                "other_levels": 0,
                "duplicates": 1,
                "contaminated": 1,
                "contaminated_by_benchmark": {"Bench": 1},
                "chosen": 40,
            }
        },
        "training_problems": 40,
    }


def test_decontamination_can_be_turned_off(own, stage):
    def texts(out):
        return {row["extra_info"]["problem"] for row in rows(out / "train/train.parquet")}

    assert "what is 3+3 ?" not in texts(stage(section(own)))
    assert "what is 3+3 ?" in texts(stage(section(own, decontaminate=False)))


def test_without_decontamination_only_exact_repeats_are_dropped(own, stage):
    alike = ["What is A?", "what is a?", "What is $A$?", "What  is A?", "What is A?"]
    (own / "more.jsonl").write_text("".join(json.dumps({"problem": p, "answer": "1"}) + "\n" for p in alike))
    train = [{"name": name, "source": file_source("more.jsonl")} for name in ("more", "again")]

    def texts(**changed):
        out = stage(section(own, train=train, **changed))
        return [row["extra_info"]["problem"] for row in rows(out / "train/train.parquet")]

    assert texts() == alike[:1]
    assert texts(decontaminate=False) == alike[:4]


def test_decontamination_is_against_the_whole_benchmark(own, stage):
    limited = [{"name": "Bench", "source": file_source("bench.jsonl"), "limit": 1}]
    out = stage(section(own, benchmarks=limited))
    assert len(rows(out / "benchmarks/Bench.parquet")) == 1
    assert json.loads((out / "report.json").read_text())["train"]["own"]["contaminated"] == 1


def test_levels_and_limits(own, stage):
    some = [{"name": "own", "source": file_source("train.jsonl"), "levels": [1, 3], "limit": 7}]
    out = stage(section(own, train=some))
    found = rows(out / "train/train.parquet")
    assert len(found) == 7
    assert {json.loads(row["extra_info"]["meta"])["level"] for row in found} <= {1, 3}
    assert json.loads((out / "report.json").read_text())["train"]["own"]["other_levels"] == 20


def test_two_training_sources_share_no_problem(own, stage):
    twice = [{"name": name, "source": file_source("train.jsonl")} for name in ("a", "b")]
    out = stage(section(own, train=twice))
    assert len(rows(out / "train/train.parquet")) == 40
    assert json.loads((out / "report.json").read_text())["train"]["b"]["duplicates"] == 41


def test_a_verl_file_made_here_can_be_read_again(own, stage):
    out = stage(section(own))
    (own / "again.parquet").write_bytes((out / "train/train.parquet").read_bytes())
    again = {"name": "again", "source": {"kind": "file", "path": "again.parquet", "format": "verl"}}
    out = stage(section(own, train=[again], instruction=""))
    assert {row["data_source"] for row in rows(out / "train/train.parquet")} == {"own"}
    assert {row["prompt"][0]["content"][-len(INSTRUCTION) :] for row in rows(out / "train/train.parquet")} == {
        INSTRUCTION
    }


def test_same_params_same_bytes(own, stage):
    def digests(out):
        return {p.relative_to(out): hashlib.sha256(p.read_bytes()).hexdigest() for p in out.rglob("*") if p.is_file()}

    assert digests(stage(section(own))) == digests(stage(section(own)))


def test_a_renamed_benchmark_leaves_no_file_behind(own, stage):
    stage(section(own))
    out = stage(section(own, benchmarks=[{"name": "Other", "source": file_source("bench.jsonl")}]))
    assert sorted(p.name for p in (out / "benchmarks").iterdir()) == ["Other.parquet", "manifest.json"]


def test_synthetic_sources(stage):
    values = section(
        ".",
        instruction="",
        train=[{"name": "synthetic", "source": {"kind": "synthetic", "n": 60, "seed": 5, "k_min": 1, "k_max": 2}}],
        benchmarks=[{"name": "AIME24", "source": {"kind": "stand_in", "benchmark": "aime24", "n": 9, "seed": 3}}],
    )
    out = stage(values)
    assert [row["extra_info"]["problem"] for row in rows(out / "benchmarks/AIME24.parquet")] == [
        problem.text for problem in synthetic.make_benchmark("aime24", 9, 3)
    ]
    assert all(row["data_source"].startswith("synthetic") for row in rows(out / "benchmarks/AIME24.parquet"))
    assert rows(out / "train/train.parquet")[0]["data_source"].startswith("synthetic")


MISTAKES = [
    ({"folder": None}, "prompts.folder: Input should be a valid string"),
    ({"folder": "nowhere"}, "nowhere/bench.jsonl: no such file"),
    ({"benchmarks": [{"name": "B", "source": file_source("gone.jsonl")}]}, "gone.jsonl: no such file"),
    ({"benchmarks": [{"name": "B", "source": file_source("empty.jsonl")}]}, "no problem of format simple in 0 rows"),
    ({"benchmarks": [{"name": "B", "source": file_source("bench.jsonl", sha256="0" * 64)}]}, "params say 0000"),
    ({"train": [{"name": "t", "source": file_source("bench.jsonl")}]}, "every training problem is in a benchmark"),
    ({"train": []}, "prompts.train: "),
    ({"train": [{"name": "t", "source": {"kind": "ftp"}}]}, "prompts.train.0.source"),
    ({"train": [{"name": "t", "source": file_source("train.jsonl"), "limits": 3}]}, "limits: unknown key"),
    (
        {"train": [{"name": "t", "source": file_source("train.jsonl"), "limit": 3, "fraction": 0.5}]},
        "limit and fraction",
    ),
    ({"benchmarks": [{"name": "a/b", "source": file_source("bench.jsonl")}]}, "prompts.benchmarks.0.name"),
    ({"benchmarks": [{"name": "B", "source": file_source("bench.jsonl")}] * 2}, "the name B is given twice"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(own, stage, tmp_path, changes, message):
    (own / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError) as caught:
        stage(section(own) | changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_real_benchmarks_and_training_files(data, stage):
    """MATH training files in use elsewhere do hold MATH test problems: the report says how many were dropped."""

    def real(name, path, format_name, **choice):
        return {"name": name, "source": {"kind": "file", "path": path, "format": format_name}, **choice}

    out = stage(
        section(
            data,
            train=[
                real("MATH-train", "train/math_train.json", "math_train", levels=[1, 2, 3]),
                real("AIME", "train/aime_1983_2023.json", "aime_1983_2023"),
            ],
            benchmarks=[
                real("MATH", "benchmarks/math.jsonl", "math", limit=16),
                real("Minerva", "benchmarks/minerva_math.jsonl", "minerva_math", limit=16),
                real("OlympiadBench", "benchmarks/olympiadbench.jsonl", "olympiadbench", limit=16),
                real("AIME24", "benchmarks/aime24.jsonl", "aime24", limit=16),
            ],
        )
    )
    report = json.loads((out / "report.json").read_text())
    assert {name: counts["read"] for name, counts in report["benchmarks"].items()} == {
        "MATH": 5000,
        "Minerva": 272,
        "OlympiadBench": 675,
        "AIME24": 30,
    }
    assert all(len(rows(out / f"benchmarks/{name}.parquet")) == 16 for name in report["benchmarks"])
    train = rows(out / "train/train.parquet")
    tested = {normalised_text(json.loads(line)["problem"]) for line in (data / "benchmarks/math.jsonl").open()}
    assert not any(normalised_text(row["extra_info"]["problem"]) in tested for row in train)
    assert report["train"]["AIME"]["contaminated_by_benchmark"]["MATH"] > 0
    assert report["train"]["MATH-train"]["left_out"] == 4
    levels = {json.loads(row["extra_info"]["meta"])["level"] for row in train if row["data_source"] == "math_train"}
    assert levels == {1, 2, 3}


def test_the_mixed_verl_file(data, stage):
    mixed = {"kind": "file", "path": "train/dapo_math_train.parquet", "format": "dapo_math"}
    bench = {"kind": "file", "path": "benchmarks/math500.jsonl", "format": "math500"}
    train = [{"name": "mix", "source": mixed, "limit": 400}]
    out = stage(section(data, train=train, benchmarks=[{"name": "MATH-500", "source": bench}]))
    report = json.loads((out / "report.json").read_text())["train"]["mix"]
    assert report["read"] == 24898
    assert report["left_out"] == 2
    assert report["contaminated"] > 0
    found = rows(out / "train/train.parquet")
    assert {row["data_source"] for row in found} == {"dapo_math_17k", "xDAN2099/lighteval-MATH"}
    assert not any("step by step" in row["extra_info"]["problem"] for row in found)
