"""`spectrum import` and dumps that it must not take: one line that names the place, and nothing written."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from importing_kit import write_pairs, write_verl
from kit.policy import boxes

from tokenspectrum.cli.main import main
from tokenspectrum.cli.preset import choose
from tokenspectrum.params.files import named_files
from tokenspectrum.tokenlog.reader import read_file

VERL = {"input": "1+1", "output": "2", "gts": "2", "score": 1.0, "step": 1}
PAIR = {"prompt": "1+1", "response": "2", "answer": "2"}
IDS = boxes().encode("12", add_special_tokens=False)
PRIME = {"schema_version": 1, "export_step": 3, "token_ids": IDS, "loss_mask": [False, True]}
PRIME |= {"rewards": [None, 1.0], "inference_logprobs": [0.0, -0.5]}
TRL = {"step": [5], "prompt": ["1+1"], "completion": ["2"], "right": [1.0]}


def take(kind: str, path: Path, checkpoint: Path, *words: str) -> None:
    main(["import", kind, str(path), "--policy", str(checkpoint), "--name", "x", *words])


def refused(kind: str, path: Path, checkpoint: Path, said: str, *words: str) -> None:
    """It ends in one line that says so, with nothing written."""
    with pytest.raises(SystemExit, match=said) as end:
        take(kind, path, checkpoint, *words)
    assert end.value.code not in (None, 0)
    assert "\n" not in str(end.value.code).strip()
    assert not Path("data").exists()
    assert [path.name for path in Path("presets").iterdir()] == ["tiny.yaml"]


def lines(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def trl(path: Path, **columns: list) -> Path:
    pq.write_table(pa.table(TRL | {"advantage": [0.0]} | columns), path)
    return path


def given(name: str) -> list[dict]:
    return read_file(Path(f"data/imported/{name}/responses.parquet")).to_pylist()


def golds(name: str) -> list[str]:
    text = Path(f"data/imported/{name}/problems.jsonl").read_text()
    return [json.loads(line)["answer"] for line in text.splitlines()]


def test_only_reward_columns_of_trl_are_rewards(project, checkpoint):
    dump = trl(project / "a.parquet", temperature=[0.7])
    refused("trl", dump, checkpoint, "columns right, temperature may be .*--reward-column NAME, once for each")
    refused("trl", dump, checkpoint, "--reward-column wrong: no reward of", "--reward-column", "wrong")
    take("trl", dump, checkpoint, "--reward-column", "right")
    assert [row["reward"] for row in given("x")] == [1.0]
    # Rewards come first and are floats: one float before a text is a reward, one behind it was logged.
    take("trl", trl(project / "b.parquet", note=["n"], temperature=[0.7]), checkpoint, "--force")
    assert [row["reward"] for row in given("x")] == [1.0]
    said = "--reward-column: for trl alone"
    with pytest.raises(SystemExit, match=said):
        take("pairs", lines(project / "p.jsonl", PAIR), checkpoint, "--force", "--reward-column", "right")


def test_a_reward_that_no_function_of_trl_gave_is_none(project, checkpoint):
    dump = trl(project / "a.parquet", right=[math.nan])
    refused("trl", dump, checkpoint, "1 responses have no reward")
    refused("trl", trl(project / "b.parquet", right=[math.inf]), checkpoint, "row 1, field 'right': found inf")


def test_a_whole_number_is_a_gold_answer_even_zero(project, checkpoint):
    take("trl", trl(project / "a.parquet", answer=[0]), checkpoint, "--rewards", "ours")
    assert golds("x") == ["0"]


@pytest.mark.parametrize(("given", "kept"), [([2], "unknown"), ({"tests": []}, "unknown"), (0.5, "0.5")])
def test_what_a_trainer_checks_code_by_is_no_gold_answer(project, checkpoint, given, kept):
    take("verl", lines(project / "a.jsonl", VERL | {"gts": given}), checkpoint)
    assert golds("x") == [kept]


@pytest.mark.parametrize("name", ["gts", "answer"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "an empty gold answer"),
        (" ", "an empty gold answer"),
        (math.nan, "found nan where a finite"),
        (True, "found bool"),
    ],
)
def test_a_gold_answer_is_text_or_a_number(project, checkpoint, name, value, said):
    kind, row = ("verl", VERL) if name == "gts" else ("pairs", PAIR)
    dump = lines(project / "a.jsonl", row, row | {name: value})
    refused(kind, dump, checkpoint, rf"a\.jsonl line 2, field '{name}': {said}", "--rewards", "ours")


def test_two_golds_of_a_prompt_are_refused_with_both_rows(project, checkpoint):
    dump = lines(project / "a.jsonl", VERL | {"gts": None}, VERL, VERL | {"gts": "3"})
    refused("verl", dump, checkpoint, r"line 3: the gold answer is '3', and '2' for the same prompt in .*line 2")
    take("verl", lines(dump, VERL | {"gts": None}, VERL), checkpoint)
    assert golds("x") == ["2"]


@pytest.mark.parametrize(
    ("kind", "row", "said"),
    [
        ("verl", VERL | {"score": math.nan}, "field 'score': found nan where a finite number is due"),
        ("verl", VERL | {"score": -math.inf}, "field 'score': found -inf"),
        ("verl", VERL | {"score": 10**400}, "field 'score': found a number of 401 digits"),
        ("verl", VERL | {"output": ""}, "an empty response"),
        ("verl", VERL | {"input": "\ud800"}, "field 'input': holds half a character"),
        ("verl", VERL | {"output": "2\udfff"}, "field 'output': holds half a character"),
        ("verl", VERL | {"gts": "\ud800"}, "field 'gts': holds half a character"),
        ("verl", VERL | {"step": True}, "field 'step': found bool"),
        ("pairs", PAIR | {"response": ""}, "an empty response"),
        ("pairs", PAIR | {"step": math.nan}, "field 'step': found nan"),
        ("pairs", PAIR | {"step": math.inf}, "field 'step': found inf"),
        ("pairs", PAIR | {"step": 1.5}, "field 'step': found 1.5 where a whole number is due"),
        ("prime-rl", PRIME | {"token_ids": ["a", "b"]}, "field 'token_ids': item 0 is 'a'"),
        ("prime-rl", PRIME | {"token_ids": [1, 2.0]}, "field 'token_ids': item 1 is 2.0"),
        ("prime-rl", PRIME | {"token_ids": [1, True]}, "field 'token_ids': item 1 is True"),
        ("prime-rl", PRIME | {"token_ids": [1, -2]}, "field 'token_ids': item 1 is -2"),
        ("prime-rl", PRIME | {"token_ids": [2**31, 2]}, "field 'token_ids': item 0 is 2147483648"),
        ("prime-rl", PRIME | {"loss_mask": [0, 1]}, "field 'loss_mask': expected true and false"),
        ("prime-rl", PRIME | {"rewards": "ab"}, "field 'rewards': found str"),
        ("prime-rl", PRIME | {"rewards": 1}, "field 'rewards': found int"),
        ("prime-rl", PRIME | {"rewards": [1.0]}, "token_ids, loss_mask, .* differ in length"),
        ("prime-rl", PRIME | {"rewards": [None, "1"]}, r"field 'rewards\[1\]': found str"),
        ("prime-rl", PRIME | {"rewards": [None, math.nan]}, r"field 'rewards\[1\]': found nan"),
        ("prime-rl", PRIME | {"inference_logprobs": [0.0, "x"]}, r"field 'inference_logprobs\[1\]': found str"),
    ],
)
def test_a_field_that_is_none_is_one_line(project, checkpoint, kind, row, said):
    refused(kind, lines(project / "a.jsonl", row), checkpoint, rf"a\.jsonl line 1(, |: ){said}")


def test_json_nested_too_deep_is_one_line(project, checkpoint):
    (project / "a.jsonl").write_text('{"input": ' + "[" * 200_000 + "]" * 200_000 + "}")
    refused("verl", project / "a.jsonl", checkpoint, r"a\.jsonl line 1: nested too deep to be read")


@pytest.mark.parametrize(("kind", "row"), [("verl", VERL), ("pairs", PAIR), ("prime-rl", PRIME)])
def test_a_byte_order_mark_is_read(project, checkpoint, kind, row):
    (project / "a.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8-sig")
    take(kind, project / "a.jsonl", checkpoint)
    assert len(given("x")) == 1


def test_what_is_refused_late_leaves_nothing(project, checkpoint):
    dump = lines(project / "a.jsonl", VERL | {"score": None, "gts": None})
    refused("verl", dump, checkpoint, "1 responses have no reward, and 1 prompts no gold answer")
    for option in ("--samples", "--max-response-tokens"):
        for value in ("0", "-1", "x"):
            refused("verl", write_verl(project / f"{option}{value}"), checkpoint, "2", option, value)
    # The preset is read before it gets its name: this one would extend itself.
    before = Path("presets/tiny.yaml").read_bytes()
    with pytest.raises(SystemExit, match=r"presets/tiny\.yaml: extends: tiny -> tiny is a circle"):
        main(["import", "pairs", str(lines(dump, PAIR)), "--policy", str(checkpoint), "--name", "tiny", "--force"])
    assert Path("presets/tiny.yaml").read_bytes() == before
    assert not Path("data").exists()


def test_a_policy_inside_the_project_is_named_by_its_path_from_there(project, checkpoint):
    (project / "artifacts/small/policy").mkdir(parents=True)
    inside = project / "artifacts/small/policy/1"
    inside.symlink_to(checkpoint)
    dump = write_pairs(project / "p.jsonl", answer="2")
    for said in ("artifacts/small/policy/1", str(inside), "./artifacts/small/policy/1"):
        take("pairs", dump, Path(said), "--force")
        text = Path("presets/x.yaml").read_text()
        assert yaml.safe_load(text)["policy"]["source"] == "./artifacts/small/policy/1"
        assert str(project) not in text
    choose("x", force=True)
    files = named_files("policy", yaml.safe_load(Path("params.yaml").read_text()))
    assert "artifacts/small/policy/1/config.json" in files
    take("pairs", dump, checkpoint, "--force")
    assert yaml.safe_load(Path("presets/x.yaml").read_text())["policy"]["source"] == str(checkpoint)


def test_a_folder_is_taken_from_where_the_caller_stands(project, checkpoint, monkeypatch):
    inside = project / "sub/ck"
    inside.parent.mkdir()
    inside.symlink_to(checkpoint)
    write_pairs(project / "sub/p.jsonl", answer="2")
    monkeypatch.chdir(project / "sub")
    for said in ("./ck", "ck", "../sub/ck", str(inside)):
        main(["import", "pairs", "p.jsonl", "--policy", said, "--name", "x", "--force"])
        assert Path.cwd() == project
        assert yaml.safe_load(Path("presets/x.yaml").read_text())["policy"]["source"] == "./sub/ck"
        monkeypatch.chdir(project / "sub")
    with pytest.raises(SystemExit, match=r"\./sub/sub/ck: no such folder"):
        main(["import", "pairs", "p.jsonl", "--policy", "./sub/ck", "--name", "y"])


def test_theirs_wants_a_reward_of_every_response(project, checkpoint, capsys):
    dump = lines(project / "a.jsonl", VERL, VERL | {"score": None}, VERL | {"score": None})
    refused("verl", dump, checkpoint, r"--rewards theirs: .*a\.jsonl line 2 has no reward", "--rewards", "theirs")
    take("verl", dump, checkpoint)
    assert "rewards: by the verifier here: 2 of 3 responses have none" in capsys.readouterr().out


def test_a_reward_column_that_is_named_twice_is_refused(project, checkpoint):
    columns = ["--reward-column", "right", "--reward-column", "right"]
    refused("trl", trl(project / "a.parquet"), checkpoint, "--reward-column right: given twice", *columns)


def test_help_names_every_kind(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "verl, TRL or prime-rl dumped, or a file of pairs, as a preset" in said
