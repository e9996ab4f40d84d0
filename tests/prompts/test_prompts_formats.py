"""Every published format, the files they come in, and the one line that a bad row gets."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.errors import UserError
from tokenspectrum.prompts import files
from tokenspectrum.prompts.chats import bare_problem
from tokenspectrum.prompts.files import read_rows
from tokenspectrum.prompts.formats import FORMATS, parse, solution_answer
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.prompts.row import Row

MATH = {"problem": "1+1?", "solution": "So $\\boxed{2}$.", "level": "Level 3", "type": "Algebra"}
AIME = {"id": 60, "problem": "2+2?", "answer": "004", "solution": "\\boxed{5}"}
OLYMPIAD = {
    "id": 7,
    "subfield": "Algebra",
    "context": None,
    "question": "3+3?",
    "solution": ["..."],
    "final_answer": ["$6$"],
    "is_multiple_answer": False,
    "unit": None,
    "answer_type": "Numerical",
    "error": None,
}
VERL = {
    "data_source": "mine",
    "prompt": [
        {"role": "user", "content": "4+4? Let's think step by step and output the final answer within \\boxed{}."}
    ],
    "ability": "math",
    "reward_model": {"style": "rule", "ground_truth": "8"},
    "extra_info": {"index": 3, "split": "train", "level": 2},
}


def one(values, format_name="math"):
    return parse(Row("f.jsonl line 1", 0, values), format_name, "own")


@pytest.mark.parametrize(
    ("format_name", "values", "data_source", "text", "answer"),
    [
        ("math", MATH, "math", "1+1?", "2"),
        ("math500", MATH | {"answer": "2.0"}, "math500", "1+1?", "2.0"),
        ("math_train", MATH, "math_train", "1+1?", "2"),
        ("minerva_math", MATH, "minerva_math", "1+1?", "2"),
        ("aime24", AIME, "aime24", "2+2?", "004"),
        ("aime_1983_2023", AIME, "aime_1983_2023", "2+2?", "004"),
        ("olympiadbench", OLYMPIAD, "olympiadbench", "3+3?", "6"),
        ("olympiadbench", OLYMPIAD | {"context": "Given."}, "olympiadbench", "Given.\n3+3?", "6"),
        ("verl", VERL, "mine", "4+4?", "8"),
        ("dapo_math", VERL, "mine", "4+4?", "8"),
        ("dapo_math", VERL | {"data_source": "math_dapo"}, "dapo_math_17k", "4+4?", "8"),
        ("simple", {"question": "5+5?", "answer": 10}, "own", "5+5?", "10"),
        ("simple", {"problem": "5+5?", "answer": "10", "data_source": "theirs"}, "theirs", "5+5?", "10"),
    ],
)
def test_format(format_name, values, data_source, text, answer):
    problem = one(values, format_name)
    assert (problem.data_source, problem.text, problem.answer) == (data_source, text, answer)


@pytest.mark.parametrize(("given", "level"), [("Level 5", 5), (4, 4), (3.0, 3), ("Level ?", 0), ("2", 2)])
def test_levels(given, level):
    assert one(MATH | {"level": given}).extra["level"] == level
    assert one({k: v for k, v in MATH.items() if k != "level"} | {"difficulty": given}).extra["level"] == level


def test_facts_travel_along():
    assert one(MATH).extra == {"index": 0, "subject": "Algebra", "level": 3}
    assert one(VERL, "verl").extra == {"index": 0, "level": 2}
    system = {"role": "system", "content": "Be brief."}
    assert one(VERL | {"prompt": [system, *VERL["prompt"]]}, "verl").extra["system"] == "Be brief."


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"final_answer": ["$69$,$84$"], "is_multiple_answer": True}, '{"answers":["69","84"]}'),
        ({"final_answer": ["$(1,2), (2,1)$"], "is_multiple_answer": True}, '{"answers":["(1,2)","(2,1)"]}'),
        ({"final_answer": ["$(1,2)$"]}, "(1,2)"),
        ({"final_answer": ["45"], "unit": "minute"}, '{"answers":["45"],"unit":"minute"}'),
        ({"final_answer": ["4.2"], "error": "1e-1"}, '{"answers":["4.2"],"tolerance":0.1}'),
    ],
)
def test_olympiadbench_golds(changes, answer):
    assert one(OLYMPIAD | changes, "olympiadbench").answer == answer


@pytest.mark.parametrize(
    "changes",
    [
        {"modality": "Multimodal"},
        {"image_1": "a.png"},
        {"language": "Chinese"},
        {"subject": "Physics"},
        {"question_type": "Theorem proof"},
    ],
)
def test_olympiadbench_leaves_out(changes):
    kept = {"modality": "Text-only", "language": "English", "subject": "Math", "question_type": "Open-ended"}
    assert one(OLYMPIAD | kept, "olympiadbench") is not None
    assert one(OLYMPIAD | kept | changes, "olympiadbench") is None


def test_training_rows_without_gold_are_left_out_and_benchmark_rows_are_not():
    bare = {"problem": "1+1?", "answer": None}
    assert one(bare, "math_train") is None
    assert one(VERL | {"reward_model": {"ground_truth": ""}}, "dapo_math") is None
    with pytest.raises(UserError, match="'answer': missing, and so is 'solution'"):
        one(bare, "math")


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("\\boxed{1} \\boxed{2}", "2"),
        ("$\\fbox{3}$", "3"),
        ("\\framebox{204}", "204"),
        ("so $\\boxed 2$.", "2"),
        ("none", None),
    ],
)
def test_gold_of_a_published_solution(solution, answer):
    assert solution_answer(solution) == answer


def test_published_instructions_come_off():
    dapo = (
        "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
        "$Answer (without quotes) where $Answer is the answer to the problem.\n\nWhat is 1+1?\n\nRemember to put your "
        'answer on its own line after "Answer:".'
    )
    assert bare_problem(dapo) == "What is 1+1?"
    assert bare_problem("What is 1+1?") == "What is 1+1?"


def without(values, field):
    return {k: v for k, v in values.items() if k != field}


BAD_ROWS = [
    ("math", without(MATH, "problem"), "field 'problem': missing; the row has level, solution, type"),
    ("math", MATH | {"problem": 5}, "field 'problem': expected text, found int 5"),
    ("math", MATH | {"problem": "  "}, "field 'problem': is empty"),
    ("math", MATH | {"solution": "no box"}, "field 'solution': holds no \\boxed{} answer"),
    ("aime24", AIME | {"answer": "1/2"}, "field 'answer': an AIME answer is an integer from 0 to 999, found '1/2'"),
    ("olympiadbench", OLYMPIAD | {"final_answer": []}, "field 'final_answer': expected a list of texts, found []"),
    (
        "olympiadbench",
        OLYMPIAD | {"is_multiple_answer": 1},
        "field 'is_multiple_answer': expected true or false, found 1",
    ),
    ("olympiadbench", OLYMPIAD | {"error": "some"}, "field 'error': expected a tolerance such as 1e-1, found 'some'"),
    ("verl", VERL | {"prompt": "4+4?"}, "field 'prompt': expected one user message"),
    ("verl", VERL | {"prompt": VERL["prompt"] * 2}, "found roles ['user', 'user']"),
    ("verl", VERL | {"reward_model": None}, "field 'reward_model.ground_truth': missing"),
    ("verl", without(VERL, "data_source"), "field 'data_source': missing"),
    ("simple", {"question": "5+5?", "answer": True}, "field 'answer': expected text, found bool True"),
]


@pytest.mark.parametrize(("format_name", "values", "message"), BAD_ROWS)
def test_a_bad_row_is_named_with_its_file_line_and_field(tmp_path, format_name, values, message):
    path = tmp_path / "bench.jsonl"
    good = {"verl": VERL, "olympiadbench": OLYMPIAD, "aime24": AIME, "simple": {"problem": "x", "answer": "1"}}
    path.write_text(f"{json.dumps(good.get(format_name, MATH))}\n\n{json.dumps(values)}\n")
    with pytest.raises(UserError) as caught:
        [parse(row, format_name, "own") for row in read_rows(path)]
    assert str(caught.value).startswith(f"{path} line 3, field ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_format_is_tried():
    tried = {"math", "math500", "math_train", "minerva_math", "aime24", "aime_1983_2023", "olympiadbench", "verl"}
    assert tried | {"dapo_math", "gsm8k", "simple"} == set(FORMATS)


records = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers() | st.none(), max_size=4), max_size=6
)


@given(records, st.sampled_from([None, 0, 2]))
def test_json_and_jsonl_agree_with_the_library(tmp_path_factory, rows, indent):
    folder = tmp_path_factory.mktemp("rows")
    (folder / "a.json").write_text(json.dumps(rows, indent=indent))
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("a.json", "a.jsonl"):
        assert [row.values for row in read_rows(folder / name)] == rows


def test_rows_of_a_json_array_know_their_lines(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('\n[\n  {"a": 1},\n  {\n    "a": 2\n  }, {"a": 3}\n]\n')
    assert [row.where for row in read_rows(path)] == [f"{path} line {n}" for n in (3, 4, 6)]


def test_parquet_rows(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"problem": ["x", "y"], "answer": ["1", None]}), path)
    assert [(row.where, row.values["answer"]) for row in read_rows(path)] == [
        (f"{path} row 1", "1"),
        (f"{path} row 2", None),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2: not valid JSON (Expecting value)"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "line 2: expected an object with named fields, found list"),
        ("a.jsonl", b'{"a": 1}\n\xff\n', "line 2: not UTF-8 text"),
        ("a.json", b'{"a": 1}', "line 1: expected a JSON array of objects"),
        ("a.json", b'[\n{"a": 1},\n{"a" 2}\n]', "line 3: not valid JSON"),
        ("a.json", b'[\n{"a": 1}\n{"a": 2}\n]', "line 3: not valid JSON (expected ',' or ']')"),
        ("a.json", b'[\n{"a": 1},\n5]', "line 3: expected an object with named fields, found int"),
        ("a.json", b'[\n{"a": 1},\n', "line 3: not valid JSON"),
        ("a.parquet", b"PAR1 not really", "not a readable Parquet file"),
        ("a.csv", b'a,b\n1,2\n"3\n', "not valid CSV"),
        ("a.csv", b"a,b\n\n1,2\n1,2,3\n", "line 4: 3 cells under 2 names"),
        ("a.csv", b"a,a\n1,2\n", "line 1: the column name 'a' is given twice"),
        ("a.csv", b"a,\n1,2\n", "line 1: the column name '' is empty"),
        ("a.csv", b"a\n1\n\xff\n", "line 3: not UTF-8 text"),
        ("a.tsv", b"a\tb", "the name must end in .jsonl, .json, .csv or .parquet"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        list(read_rows(path))
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jsonl: no such file"):
        files.read_rows(tmp_path / "gone.jsonl")


def test_prompt_id_is_a_hash_of_source_and_text():
    first = Problem("math", "1+1?", "2")
    assert first.prompt_id == Problem("math", "1+1?", "3", {"level": 1}).prompt_id
    assert (
        len({first.prompt_id, Problem("math500", "1+1?", "2").prompt_id, Problem("math", "1+2?", "2").prompt_id}) == 3
    )
    assert len(first.prompt_id) == 16
    assert int(first.prompt_id, 16) >= 0
