"""Problem files as they are met in the wild: the right value, or one line that names file, row and column."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import PARAMS_ENV
from tokenspectrum.params.prompts import Dataset, FileSource
from tokenspectrum.prompts.choose import of_levels
from tokenspectrum.prompts.golds import contradicts, doubt
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.prompts.sources import load
from tokenspectrum.reward.boxed import verify
from tokenspectrum.stages.prompts import main


def loaded(path, **source):
    return load(Dataset(name="mine", source=FileSource(kind="file", path=path.name, **source)), str(path.parent))


def written(folder, content, name="a.jsonl"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def answers(found):
    return [problem.answer for problem in found.problems]


def refusal(path, **source):
    with pytest.raises(UserError) as caught:
        loaded(path, **source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_gold_that_is_no_number_is_one_line(tmp_path, number):
    path = written(tmp_path, f'{{"problem": "a", "answer": 3.0}}\n{{"problem": "b", "answer": {number}}}\n')
    assert refusal(path).startswith(f"{path} line 2, field 'answer': is ")


def test_a_missing_answer_in_a_parquet_column_of_doubles_is_one_line(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"problem": ["x", "y"], "answer": pa.array([3.0, float("nan")])}), path)
    assert refusal(path).startswith(f"{path} row 2, field 'answer': is nan")
    pq.write_table(pa.table({"problem": ["x", "y"], "answer": pa.array([3.0, None])}), path)
    assert refusal(path).startswith(f"{path} row 2, field 'answer': missing")


@given(st.decimals(min_value=-9999, max_value=9999, places=2).map(lambda d: d.normalize()))
def test_a_short_float_is_the_number_that_was_written(tmp_path_factory, number):
    folder = tmp_path_factory.mktemp("short")
    wide, short = folder / "wide.parquet", folder / "short.parquet"
    pq.write_table(pa.table({"problem": ["x"], "answer": pa.array([float(number)], pa.float64())}), wide)
    pq.write_table(pa.table({"problem": ["x"], "answer": pa.array([float(number)], pa.float32())}), short)
    assert answers(loaded(short)) == answers(loaded(wide))
    nested = pa.array([{"in": [float(number)]}], pa.struct([("in", pa.list_(pa.float32()))]))
    pq.write_table(pa.table({"problem": ["x"], "answer": nested}), short)
    assert answers(loaded(short, columns={"answer": "answer.in.0"})) == answers(loaded(wide))


@pytest.mark.parametrize("name", ["x" * 300 + ".jsonl", "é" * 200 + ".json", "a/" * 3000 + "b.csv", "a\0b.jsonl"])
def test_a_name_that_no_file_system_takes_is_one_line(tmp_path, name):
    with pytest.raises(UserError, match="no such file; put a file there"):
        load(Dataset(name="mine", source=FileSource(kind="file", path=name)), str(tmp_path))


NUMBERS = [
    (1e16, "10000000000000000"),
    (3.0, "3"),
    (-2.0, "-2"),
    (0.5, "0.5"),
    (1e-5, "0.00001"),
    (12345678901234567, "12345678901234567"),
    (1e22, "1" + "0" * 22),
]


@pytest.mark.parametrize(("number", "answer"), NUMBERS)
def test_numbers_are_golds_as_a_person_writes_them(tmp_path, number, answer):
    assert answers(loaded(written(tmp_path, json.dumps({"problem": "?", "answer": number})))) == [answer]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"problem": ["?"], "answer": [number]}), path)
    assert answers(loaded(path)) == [answer]


TYPES = [
    (pa.array([7], pa.int8()), "7"),
    (pa.array([7], pa.uint64()), "7"),
    (pa.array([0.25], pa.float32()), "0.25"),
    (pa.array(["7"], pa.large_string()), "7"),
    (pa.array(["7"]).dictionary_encode(), "7"),
    (pa.array([7], pa.int64()).cast(pa.decimal128(19, 0)), "7"),
    (pa.array([3.5]).cast(pa.decimal128(5, 2)), "3.5"),
]


@pytest.mark.parametrize(("column", "answer"), TYPES)
def test_parquet_types_of_golds(tmp_path, column, answer):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"problem": ["?"], "answer": column}), path)
    assert answers(loaded(path)) == [answer]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True]),
        pa.array([b"7"]),
        pa.array([1], pa.timestamp("ns")),
        pa.array([2**40], pa.timestamp("s")),
        pa.array([["7"]]),
        pa.array([{"a": 7}]),
        pa.array([1], pa.date32()),
    ],
)
def test_other_parquet_types_are_one_line(tmp_path, column):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"problem": ["?"], "answer": column}), path)
    assert refusal(path).startswith(str(path))


def test_half_a_character_is_one_line(tmp_path):
    path = written(tmp_path, '{"problem": "a", "answer": "1"}\n{"problem": "b", "answer": "\\ud835"}\n')
    assert refusal(path).startswith(f"{path} line 2, field 'answer': holds half a character")
    path = written(tmp_path, '[\n{"problem": "a", "extra": {"x": ["\\udc00"]}, "answer": "1"}]', "a.json")
    assert refusal(path).startswith(f"{path} line 2, field 'extra.x.0': holds half a character")
    assert loaded(written(tmp_path, '{"problem": "\\ud835\\udfd9", "answer": "1"}')).problems[0].text == "𝟙"


def test_an_answer_of_five_thousand_digits_is_read_and_judged(tmp_path):
    digits = "9" * 5000
    path = written(tmp_path, f'{{"problem": "q", "answer": {digits}, "level": {digits}}}')
    assert answers(loaded(path)) == [digits]
    assert verify(f"\\boxed{{{digits}}}", digits, "mine").correct
    assert not verify(f"\\boxed{{{digits[1:]}}}", digits, "mine").correct


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('{"problem": "?", "answer": "2"}\n', "a.jsonl"),
        ('[{"problem": "?", "answer": "2"}]', "a.json"),
        ("problem,answer\n?,2\n", "a.csv"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_and_windows_lines_are_no_part_of_a_file(tmp_path, content, name, end):
    path = written(tmp_path, b"\xef\xbb\xbf" + content.replace("\n", end).encode(), name)
    assert answers(loaded(path)) == ["2"]


def test_unicode_line_separators_end_no_line(tmp_path):
    path = written(tmp_path, '{"problem": "a\u2028b\u0085c", "answer": "2"}\r\n{"problem": "d", "answer": "3"}\r\n')
    assert [p.text for p in loaded(path).problems] == ["a\u2028b\u0085c", "d"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"problem": "?", "answer": "1", "answer": "2"}', "line 1: field 'answer' is given twice"),
        ("[" * 100_000, "line 1: "),
        ('{"problem": "?"} {"answer": "1"}', "line 1: not valid JSON (more than one value)"),
        ('{"problem": "?", "answer": 0' + "1" * 5000 + "}", "line 1: not valid JSON"),
        ("\0", "line 1: not valid JSON"),
        ("\ufeff\ufeff{}", "line 1: not valid JSON"),
    ],
)
def test_json_that_the_library_would_take_or_choke_on(tmp_path, content, message):
    assert refusal(written(tmp_path, content)).startswith(f"{tmp_path / 'a.jsonl'} {message}")


@pytest.mark.parametrize("more", ["x", '[{"problem": "b", "answer": "2"}]', "]"])
def test_nothing_may_follow_an_array(tmp_path, more):
    for array in ("[]", '[{"problem": "a", "answer": "1"}]'):
        path = written(tmp_path, f"{array}\n{more}", "a.json")
        assert refusal(path) == f"{path} line 2: not valid JSON (more than one value)"


HALF = ["", "[1]}", "[]}", '"7"}', "{}}", '["7"],"tolerance":"x"}', '["7"],"tolerance":-1}']
HALF += [f'["7"],"{key}":{value}}}' for key in ("unit", "gym") for value in ("0", "3", "false", "[]", "{}")]
HALF += ['["7"],"gym":"x"}', '["7"],"gym":"{}"}', '["7"],"gym":"[1]"}', '["7"],"gym":""}']


@pytest.mark.parametrize("rest", HALF)
def test_a_gold_that_is_half_a_list_of_answers_is_one_line(tmp_path, rest):
    path = written(tmp_path, json.dumps({"problem": "a", "answer": '{"answers":' + rest}))
    message = refusal(path)
    assert message.startswith(f"{path} line 1: the gold begins like JSON of several answers")
    assert all(f"{key} must be" in message for key in ("tolerance", "unit", "gym") if f'"{key}"' in rest)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dataset": "n_queens"}, "reasoning-gym's n_queens is refused"),
        ({"dataset": "chain_sums"}, "reasoning-gym has no dataset 'chain_sums'"),
        ({"options": {"max_terms": "many"}}, "reasoning-gym's chain_sum refuses its options"),
        ({}, "reasoning-gym's chain_sum: task 0 has another answer here"),
    ],
)
def test_a_gold_whose_task_cannot_be_made_is_one_line(tmp_path, changed, message):
    task = {"dataset": "chain_sum", "index": 0, "levels": {}, "options": {}, "seed": 1, "size": 1} | changed
    gold = json.dumps({"answers": ["no sum"], "gym": json.dumps(task)}, separators=(",", ":"))
    path = written(tmp_path, json.dumps({"problem": "a", "answer": gold}))
    assert refusal(path).startswith(f"{path} line 1: the gold's task: {message}")


def test_what_is_no_file(tmp_path):
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    assert "gone.jsonl: a link to nothing" in refusal(tmp_path / "gone.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    assert "folder.jsonl: a folder" in refusal(tmp_path / "folder.jsonl")
    double = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["problem", "problem"])
    pq.write_table(double, tmp_path / "a.parquet")
    assert "the column name 'problem' is given twice" in refusal(tmp_path / "a.parquet")


LEVELS = [
    (6, 6),
    (6.0, 6),
    ("Level 5", 5),
    ("level 5", 5),
    ("5", 5),
    (" 5 ", 5),
    (6.5, 6.5),
    ("4/8", "4/8"),
    ("hard", "hard"),
]


@pytest.mark.parametrize(("given", "level"), LEVELS)
def test_a_difficulty_is_read_alike_in_every_format_and_refused_only_where_levels_are_asked_for(tmp_path, given, level):
    simple = {"problem": "?", "answer": "2", "difficulty": given}
    verl = {
        "data_source": "mine",
        "prompt": [{"role": "user", "content": "?"}],
        "reward_model": {"ground_truth": "2"},
        "extra_info": {"level": given},
    }
    for format_name, row in (("simple", simple), ("math", simple), ("verl", verl)):
        found = loaded(written(tmp_path, json.dumps(row)), format=format_name).problems
        assert found[0].extra["level"] == level
        if isinstance(level, int):
            assert of_levels(found, (level,), "mine") == found
        else:
            with pytest.raises(UserError, match=r"a.jsonl line 1: level .* is no whole number") as caught:
                of_levels(found, (5,), "mine")
            assert "\n" not in str(caught.value)


DOUBTS = [
    ("Ann has 3+4=<<3+4=7>>7 pens.\n#### 7", "holds ####"),
    ("\\boxed{7}", "holds a box"),
    ("$\\fbox{7}$", "holds a box"),
    ("3+4=<<3+4=7>>7", "calculator"),
    ("The answer is 7", "sentence"),
    ("Final Answer: 7", "sentence"),
    ("nan", "there is none"),
    ("N/A", "there is none"),
    ("-", "there is none"),
    ("{", "does not match itself"),
    ("$$", "does not match itself"),
    ("7}{", "does not match itself"),
]


@pytest.mark.parametrize(("gold", "why"), DOUBTS)
def test_a_gold_that_no_answer_matches_is_in_doubt(gold, why):
    assert why in doubt(Problem("mine", "?", gold))


@pytest.mark.parametrize(
    "gold", ["7", "\\text{Evelyn}", "(1, 2)", '{"answers":["1","2"],"unit":"km"}', "{7}", "x+1", "-1"]
)
def test_a_gold_that_matches_itself_is_not(gold):
    assert doubt(Problem("mine", "?", gold)) is None


@given(st.text(max_size=12))
def test_any_gold_is_survived(gold):
    doubt(Problem("mine", "?", gold))


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [("2", "3", True), ("2", "2.0", False), ("012", "12", False), ("1/2", "\\frac12", False), ("1/2", "0.5", True)],
)
def test_two_golds_contradict_where_each_refuses_the_other(one, other, found):
    assert contradicts(Problem("s", "?", one), Problem("s", "?", other)) is found


@pytest.fixture
def report(tmp_path, monkeypatch):
    """The stage's report of training rows (problem, answer), and what its log says."""

    def run(rows):
        lines = [json.dumps({"problem": p, "answer": a}) for p, a in rows]
        written(tmp_path, "\n".join(lines), "train.jsonl")
        written(tmp_path, json.dumps({"problem": "apart", "answer": "1"}), "bench.jsonl")
        values = {"folder": str(tmp_path), "instruction": "", "decontaminate": True}
        for field, name in (("train", "train"), ("benchmarks", "bench")):
            values[field] = [{"name": name, "source": {"kind": "file", "path": f"{name}.jsonl", "format": "simple"}}]
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"prompts": values}))
        monkeypatch.setenv(PARAMS_ENV, str(tmp_path / "params.yaml"))
        main(["--out", str(tmp_path / "out")])
        return json.loads((tmp_path / "out/report.json").read_text())["train"]["train"]

    return run


def test_contradictions_are_counted_apart_and_listed(report, caplog):
    found = report([("1+1?", "2"), ("1+1?", "3"), ("1+1?", "2.0"), ("1 + 1?", "4"), ("2+2?", "4")])
    assert (found["repeated"], found["duplicates"], found["chosen"]) == (1, 0, 2)
    assert found["contradictions"] == {
        "count": 2,
        "first": [
            "train.jsonl line 2: the gold '3', but train.jsonl line 1, the same problem, has '2'",
            "train.jsonl line 4: the gold '4', but train.jsonl line 1, the same problem, has '2'",
        ],
    }
    assert "WARNING: dataset train: 2 rows give a problem another gold" in caplog.text
    assert "train.jsonl line 4: the gold '4'" in caplog.text


def test_golds_in_doubt_are_listed_loudly(report, caplog):
    found = report([("How many?", "3+4=<<3+4=7>>7\n#### 7"), ("What?", "\\boxed{7}"), ("2+2?", "4")])
    assert found["golds_in_doubt"]["count"] == 2
    assert "holds ####; `columns: {gold: hashes}` takes what is behind it" in found["golds_in_doubt"]["first"][0]
    assert "train.jsonl line 2: the gold '\\\\boxed{7}' holds a box" in found["golds_in_doubt"]["first"][1]
    assert "WARNING: dataset train: 2 golds that no answer may match" in caplog.text


def test_a_clean_report_says_nothing_of_either(report):
    assert set(report([("2+2?", "4")])) & {"contradictions", "golds_in_doubt"} == set()


def test_a_file_is_read_wherever_it_lies_and_a_pinned_one_is_checked(tmp_path):
    folder, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    own = written(elsewhere, '{"problem": "?", "answer": "2"}')
    (folder / "file.jsonl").symlink_to(own)
    (folder / "linked").symlink_to(elsewhere)
    pinned = hashlib.sha256(own.read_bytes()).hexdigest()
    for path in (str(own), "../elsewhere/a.jsonl", "file.jsonl", "linked/a.jsonl"):
        source = {"kind": "file", "path": path}
        for more in ({}, {"sha256": pinned}):
            assert answers(load(Dataset(name="mine", source=FileSource(**source, **more)), str(folder))) == ["2"]
        with pytest.raises(UserError, match="it is not the file that was pinned") as caught:
            load(Dataset(name="mine", source=FileSource(**source, sha256="0" * 64)), str(folder))
        assert "\n" not in str(caught.value)
    (tmp_path / "whole").symlink_to(elsewhere)
    assert answers(load(Dataset(name="mine", source=FileSource(kind="file", path="a.jsonl")), str(tmp_path / "whole")))
