"""A dataset needs no code: the params name the columns of a file, whatever its type and however it nests."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tokenspectrum.errors import UserError
from tokenspectrum.params.prompts import Columns, Dataset, FileSource
from tokenspectrum.prompts.files import read_rows
from tokenspectrum.prompts.formats import parse
from tokenspectrum.prompts.row import Row
from tokenspectrum.prompts.sources import load

FLAT = [{"q": "1+1?", "a": "2", "hardness": 3, "key": "x"}, {"q": "2+2?", "a": "4", "hardness": 5, "key": "y"}]
FLAT_NAMES = {"problem": "q", "answer": "a", "level": "hardness", "id": "key"}
NESTED = [
    {"chat": [{"role": "user", "content": row["q"]}], "meta": {"gold": row["a"], "level": row["hardness"]}}
    for row in FLAT
]
NESTED_NAMES = {"problem": "chat", "answer": "meta.gold", "level": "meta.level"}


def write(path, rows):
    match path.suffix:
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".json":
            path.write_text(json.dumps(rows, indent=1))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case ".csv":
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
    return path


def problems(path, columns):
    source = FileSource(kind="file", path=path.name, columns=Columns(**columns))
    return load(Dataset(name="mine", source=source), str(path.parent)).problems


def one(values, **columns):
    return parse(Row("f.jsonl line 1", 0, values), "simple", "mine", Columns(**columns))


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".csv"])
def test_named_columns_of_every_file_type(tmp_path, suffix):
    found = problems(write(tmp_path / f"mine{suffix}", FLAT), FLAT_NAMES)
    assert [(p.data_source, p.text, p.answer) for p in found] == [("mine", "1+1?", "2"), ("mine", "2+2?", "4")]
    assert [p.extra for p in found] == [{"index": 0, "id": "x", "level": 3}, {"index": 1, "id": "y", "level": 5}]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_nested_columns_and_chats(tmp_path, suffix):
    found = problems(write(tmp_path / f"mine{suffix}", NESTED), NESTED_NAMES)
    assert [(p.text, p.answer, p.extra["level"]) for p in found] == [("1+1?", "2", 3), ("2+2?", "4", 5)]


def test_a_place_in_a_list():
    shared = {"conversations": [{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "It is \\boxed{2}."}]}
    found = one(shared, problem="conversations.0.value", answer="conversations.1.value", gold="boxed")
    assert (found.text, found.answer) == ("1+1?", "2")


def test_a_column_whose_own_name_has_a_dot_comes_first():
    assert one({"a.b": "1", "a": {"b": "2"}, "q": "?"}, problem="q", answer="a.b").answer == "1"


def test_a_chat_s_system_message_travels_along_and_its_instruction_comes_off():
    content = "1+1? Let's think step by step and output the final answer within \\boxed{}."
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    found = one({"prompt": chat, "answer": "2"}, problem="prompt")
    assert (found.text, found.extra["system"]) == ("1+1?", "Be brief.")


@pytest.mark.parametrize(
    ("gold", "answer", "found"),
    [
        ("whole", "\\boxed{7}", "\\boxed{7}"),
        ("boxed", "so \\boxed{6}, no: $\\boxed{7}$.", "7"),
        ("hashes", "Ann has 3+4=<<3+4=7>>7 pens.\n#### 7", "7"),
        ("hashes", "#### 1\n#### 1,000 ", "1,000"),
        ("hashes", 7, "7"),
    ],
)
def test_where_the_gold_stands_in_its_column(gold, answer, found):
    assert one({"problem": "?", "answer": answer}, gold=gold).answer == found


def test_gsm8k_as_published():
    row = Row("f line 1", 0, {"question": "How many?", "answer": "3+4=<<3+4=7>>7\n#### 7"})
    found = parse(row, "gsm8k", "mine")
    assert (found.data_source, found.text, found.answer) == ("gsm8k", "How many?", "7")


def test_the_row_s_own_source():
    columns = {"problem": "q", "answer": "a", "data_source": "from"}
    assert one({"q": "?", "a": "1", "from": "aime24"}, **columns).data_source == "aime24"
    assert one({"q": "?", "a": "1", "from": None}, **columns).data_source == "mine"


def test_no_column_is_guessed_where_they_are_named():
    found = one({"q": "?", "a": "1", "level": 3, "data_source": "x", "id": 4}, problem="q", answer="a")
    assert (found.data_source, found.extra) == ("mine", {"index": 0})


@pytest.mark.parametrize(
    ("values", "columns", "message"),
    [
        ({"q": "?", "a": "1"}, {"problem": "p"}, "field 'p': missing; the row has a, q"),
        ({"q": "?", "m": {"a": "1"}}, {"problem": "q", "answer": "m.b"}, "field 'm.b': missing; the row has m, q"),
        ({"q": "?", "a": "1"}, {"problem": "q", "answer": "a", "level": "l"}, "field 'l': missing"),
        ({"q": "?", "a": "1"}, {"problem": "q", "answer": "a", "id": "i"}, "field 'i': missing"),
        ({"q": [], "a": "1"}, {"problem": "q", "answer": "a"}, "field 'q': expected one user message"),
        ({"q": ["x"], "a": "1"}, {"problem": "q", "answer": "a"}, "field 'q': expected one user message"),
        ({"q": "?", "a": {"b": 1}}, {"problem": "q", "answer": "a"}, "field 'a': expected text, found dict"),
        ({"q": "?", "a": "7"}, {"problem": "q", "answer": "a", "gold": "boxed"}, "'a': holds no \\boxed{} answer"),
        ({"q": "?", "a": "7"}, {"problem": "q", "answer": "a", "gold": "hashes"}, "'a': holds no answer behind ####"),
        ({"q": "?", "a": "#### "}, {"problem": "q", "answer": "a", "gold": "hashes"}, "holds no answer behind ####"),
    ],
)
def test_a_misfit_is_one_line(values, columns, message):
    with pytest.raises(UserError) as caught:
        one(values, **columns)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_are_for_the_simple_format():
    with pytest.raises(ValidationError, match="columns are for format simple; math has its own"):
        FileSource(kind="file", path="x.jsonl", format="math", columns=Columns())


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=12)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
def test_csv_agrees_with_the_library(tmp_path_factory, rows):
    path = write(tmp_path_factory.mktemp("csv") / "a.csv", [{"q": q, "a": a} for q, a in rows])
    assert [tuple(row.values.values()) for row in read_rows(path)] == rows


def test_rows_of_a_csv_file_know_their_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('q,a\n"two\nlines",1\n\nx,\n')
    assert [(row.where, row.values["a"]) for row in read_rows(path)] == [
        (f"{path} line 2", "1"),
        (f"{path} line 5", None),
    ]
