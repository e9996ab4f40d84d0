"""`spectrum import` as its user runs it: dumps of other trainers, a preset of them, and the stages that score them."""

import json
import math
from pathlib import Path

import pytest
import yaml
from importing_kit import GOLDS, PROMPTS, TEXTS, score, write_pairs, write_prime, write_trl, write_verl
from kit.policy import boxes

from tokenspectrum.cli.main import main
from tokenspectrum.cli.preset import choose
from tokenspectrum.errors import UserError
from tokenspectrum.importing.records import Record
from tokenspectrum.importing.tokenised import Encoder
from tokenspectrum.importing.write import gather
from tokenspectrum.params.files import named_files
from tokenspectrum.policy.tokenizer import build_tokenizer
from tokenspectrum.stages import result
from tokenspectrum.tokenlog.reader import read_table

TOKENIZER = boxes()


def encode(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False)


def test_a_dump_of_verl_is_scored_and_gives_results_without_training(project, checkpoint, capsys):
    dump = write_verl(project / "rollout_data")
    main(["import", "verl", str(dump), "--policy", str(checkpoint), "--name", "theirs"])
    said = capsys.readouterr().out
    assert "step 10: 12 responses, 4 to each of 3 prompts" in said
    assert "rewards: as dumped" in said
    given = "data/imported/theirs/responses.parquet"
    out = score("theirs")
    params = yaml.safe_load(Path("params.yaml").read_text())
    assert named_files("sample", params) == named_files("rollouts", params) == [given]
    assert named_files("prompts", params) == ["data/imported/theirs/problems.jsonl"]
    rows = read_table(out, "responses").sort_by("response_id").to_pylist()
    problems = {row["prompt_id"]: row for row in read_table_of_prompts(out)}
    assert [row["text"] for row in rows] == [*TEXTS] * 3
    asked = [problems[row["prompt_id"]]["extra_info"]["problem"] for row in rows]
    assert asked == [p for p in PROMPTS for _ in TEXTS]
    for row, prompt in zip(rows, asked, strict=True):
        assert row["reward"] == float(f"{{{GOLDS[PROMPTS.index(prompt)]}}}" in row["text"])
        assert row["correct"] == (row["reward"] > 0)
    sampled = read_table(out, "sampled").to_pylist()
    assert all(math.isnan(row["rollout_logprob"]) for row in sampled)
    ends = [row["token_id"] for row in sampled if row["token_id"] == TOKENIZER.eos_token_id]
    assert len(ends) == len(rows)
    words = ["--attention", "artifacts/theirs/attention", "--tokens", "artifacts/theirs/tokens"]
    made = [w for kind, path in results_of("scatter").items() for w in (f"--{kind}", path)]
    more = [w for s in reads_of("scatter") for w in (f"--{s}", f"artifacts/theirs/{folder_of(s)}")]
    Path("results").mkdir()
    result.main(["tokenspectrum.results.scatter.result", *(more or words), *made])
    assert Path(results_of("scatter")["csv"]).read_text().count("\n") > 1


def results_of(name: str) -> dict[str, str]:
    from tokenspectrum.results.discover import results

    return results()[name].outs


def reads_of(name: str) -> tuple[str, ...]:
    from tokenspectrum.results.discover import results

    return results()[name].reads


def folder_of(source: str) -> str:
    from tokenspectrum.results.sources import SOURCES

    return SOURCES[source].folder


def read_table_of_prompts(out: Path) -> list[dict]:
    from tokenspectrum.tokenlog.reader import read_file

    return read_file(out.parents[1] / "prompts/train/train.parquet").to_pylist()


def test_tokens_of_prime_rl_stay_as_they_were(project, checkpoint, capsys):
    dump = write_prime(project / "prime", encode, TOKENIZER.eos_token_id)
    main(["import", "prime-rl", str(dump), "--policy", str(checkpoint), "--name", "prime"])
    assert "step 3: 12 responses, 4 to each of 3 prompts" in capsys.readouterr().out
    out = score("prime", probe=False)
    sampled = read_table(out, "sampled").to_pylist()
    ids = [row["token_id"] for row in sampled if row["response_id"] == 0]
    assert ids == [*encode(TEXTS[0]), TOKENIZER.eos_token_id]
    assert {row["rollout_logprob"] for row in sampled} == {-0.5}
    assert {row["reward"] for row in read_table(out, "responses").to_pylist()} == {0.75}
    asked = {tuple(row["token_ids"]) for row in read_table(out, "prompt_tokens").to_pylist()}
    assert asked == {tuple(encode(prompt)) for prompt in PROMPTS}


@pytest.mark.parametrize("chat", [False, True])
def test_completions_of_trl_earn_the_sum_of_their_rewards(project, checkpoint, chat):
    dump = write_trl(project / "completions", chat)
    columns = ["--reward-column", "length", "--reward-column", "right"]
    main(["import", "trl", str(dump), "--policy", str(checkpoint), "--name", "trl", *columns])
    out = score("trl", probe=False)
    rows = read_table(out, "responses").sort_by("response_id").to_pylist()
    assert [row["reward"] for row in rows] == [1.25, 0.25] * 6
    assert [row["text"] for row in rows] == [*TEXTS] * 3
    assert {row["finish_reason"] for row in rows} == {"stop"}


def test_chats_that_end_in_the_same_turn_are_prompts_of_their_own(project, checkpoint):
    """Two worked examples, each before the same question: an advantage compares answers to one of them."""
    rows = []
    for sum_ in ("2+3", "4+4"):
        before = [{"role": "user", "content": sum_}, {"role": "assistant", "content": "5"}]
        chat = [*before, {"role": "user", "content": "1+1"}]
        rows += [{"prompt": chat, "response": text, "answer": "2"} for text in TEXTS[:2]]
    rows += [{"prompt": "1+2", "response": text, "answer": "3"} for text in TEXTS[:2]]
    (project / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["import", "pairs", "chats.jsonl", "--policy", str(checkpoint), "--name", "chats"])
    found = read_table(score("chats", probe=False), "responses").sort_by("response_id").to_pylist()
    assert [row["text"] for row in found] == [*TEXTS[:2]] * 3
    assert len({row["prompt_id"] for row in found}) == 3
    problems = [
        json.loads(line)["problem"] for line in Path("data/imported/chats/problems.jsonl").read_text().splitlines()
    ]
    assert "1+2" in problems
    assert len(set(problems)) == 3
    assert sum("2+3" in problem for problem in problems) == sum("4+4" in problem for problem in problems) == 1


def test_prompts_that_differ_in_case_or_blanks_alone_are_all_kept(project, checkpoint, capsys):
    asked = ["1+1", "1 + 1", "$1+1$", "\uff11+1"]
    rows = [{"prompt": prompt, "response": text, "answer": "2"} for prompt in asked for text in TEXTS[:2]]
    (project / "alike.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["import", "pairs", "alike.jsonl", "--policy", str(checkpoint), "--name", "alike"])
    assert "8 responses, 2 to each of 4 prompts" in capsys.readouterr().out
    out = score("alike", probe=False)
    assert [row["extra_info"]["problem"] for row in read_table_of_prompts(out)] == asked
    assert len(read_table(out, "responses").to_pylist()) == 8


def test_prompts_that_differ_in_blanks_at_their_ends_or_in_tokens_alone_stay_apart():
    """A text's blanks at its ends are no part of a problem, and tokens may be others than those of their text."""
    tokenizer = build_tokenizer()
    (find,) = tokenizer.encode("Find", add_special_tokens=False)
    signs = [i for sign in "Find" for i in tokenizer.encode(sign, add_special_tokens=False)]
    asked = ["1+1", "1+1 ", "\n1+1", [find], signs]
    assert tokenizer.decode(find) == tokenizer.decode(signs) == "Find"
    records = [Record(f"line {i}", 0, prompt, "2", reward=i % 2) for prompt in asked for i in range(2)]
    found = gather(records, Encoder(tokenizer, [tokenizer.eos_token_id]), "x", None)
    assert (found.prompts, found.n, found.left_out) == (5, 2, 0)
    rows = found.table.to_pylist()
    ids = {row["prompt_id"]: tuple(row["prompt_token_ids"]) for row in rows}
    assert len(ids) == len(set(ids.values())) == 5
    assert all(tuple(row["prompt_token_ids"]) == ids[row["prompt_id"]] for row in rows)
    assert len({problem["problem"].strip() for problem in found.problems}) == 5


def test_a_text_that_ends_with_the_end_of_sequence_has_it_once(project, checkpoint):
    rows = [{"prompt": "1+1", "response": f"2{end}", "answer": "2"} for end in ("", TOKENIZER.eos_token)]
    (project / "ended.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["import", "pairs", "ended.jsonl", "--policy", str(checkpoint), "--name", "ended"])
    sampled = read_table(score("ended", probe=False), "sampled").to_pylist()
    assert [row["token_id"] for row in sampled] == [*encode("2"), TOKENIZER.eos_token_id] * 2


def test_contexts_that_k_just_reaches_are_scored_without_k(project, checkpoint):
    """The tiny preset's K is 32, and no row of these sees more: a last token, the 33rd, is emitted by the 32nd."""
    rows = [{"prompt": "1" * 25, "response": "2" * 7, "answer": "2"}, {"prompt": "1", "response": "3", "answer": "2"}]
    (project / "short.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["import", "pairs", "short.jsonl", "--policy", str(checkpoint), "--name", "short"])
    score("short")
    attention = read_table(Path("artifacts/short/attention/1"), "attention")
    assert max(attention["visible"].to_pylist()) == 32


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
def test_pairs_without_rewards_are_judged_here(project, checkpoint, name):
    words = [
        "import",
        "pairs",
        str(write_pairs(project / name, answer="2")),
        "--policy",
        str(checkpoint),
        "--name",
        "p",
    ]
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--micro-batch", "0"])
    main([*words, "--micro-batch", "3"])
    assert yaml.safe_load(Path("presets/p.yaml").read_text())["systems"] == {"micro_batch": 3}
    rows = read_table(score("p", probe=False), "responses").to_pylist()
    assert {row["text"]: row["correct"] for row in rows} == {TEXTS[0]: True, TEXTS[1]: False, TEXTS[2]: False}
    assert {row["advantage"] for row in rows} == {0.0}


def test_a_limit_cuts_and_groups_of_another_size_are_counted(project, checkpoint, capsys):
    dump = write_verl(project / "dump")
    with (dump / "10.jsonl").open("a") as file:
        file.write(json.dumps({"input": "9+9", "output": "1", "gts": "18", "score": 0.0, "step": 10}) + "\n")
    command = ["import", "verl", str(dump), "--policy", str(checkpoint), "--name", "cut", "--max-response-tokens", "8"]
    main([*command, "--rewards", "ours"])
    said = capsys.readouterr().out
    assert "left out: 1 responses" in said
    assert "by the verifier here" in said
    rows = read_table(score("cut", probe=False), "responses").to_pylist()
    assert {row["text"]: row["finish_reason"] for row in rows}["12345678"] == "length"
    assert {row["reward_raw"] for row in rows} == {-2.0, -1.0, 1.0}


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("verl", '{"input": "1"', r"1\.jsonl line 1: not valid JSON .*was it cut off while it was written\?"),
        ("verl", '{"input": "1", "step": 1}', "line 1: no field 'output'; it has input, step"),
        (
            "verl",
            '{"input": "1", "output": "2", "step": 1}',
            "1 responses have no reward, and 1 prompts no gold",
        ),
        ("verl", '{"input": " ", "output": "2", "step": 1, "score": 1}', "line 1: an empty prompt"),
        ("verl", '{"input": "1", "output": "2", "step": 1, "score": "x"}', "'score': found str where a number is due"),
        ("verl", "[1]", "line 1: expected an object with named fields, found list"),
        ("verl", "", "hold no response that can be imported"),
        ("prime-rl", '{"schema_version": 2}', "schema_version 2, and 1 is what can be read"),
        ("prime-rl", '{"schema_version": 1, "token_ids": [1], "loss_mask": []}', "differ in length"),
        ("pairs", '{"prompt": [{"role": "user"}], "response": ""}', "expected text, or messages with role and content"),
    ],
)
def test_a_dump_that_is_none_is_one_line(project, checkpoint, kind, content, said):
    (project / "1.jsonl").write_text(content)
    with pytest.raises(SystemExit, match=said):
        main(["import", kind, str(project / "1.jsonl"), "--policy", str(checkpoint), "--name", "bad"])
    assert not (project / "presets/bad.yaml").exists()
    assert not (project / "data").exists()


def test_what_is_not_there_is_one_line(project, checkpoint, capsys):
    dump = write_verl(project / "dump")
    ask = ["--policy", str(checkpoint), "--name", "theirs"]
    with pytest.raises(SystemExit, match="--step 3: the files hold 9, 10"):
        main(["import", "verl", str(dump), *ask, "--step", "3"])
    with pytest.raises(SystemExit, match="--samples 5: no prompt has so many responses; the largest group has 4"):
        main(["import", "verl", str(dump), *ask, "--samples", "5"])
    with pytest.raises(SystemExit, match="nowhere: no such file or folder"):
        main(["import", "verl", str(project / "nowhere"), *ask])
    with pytest.raises(SystemExit, match="a hub id needs --revision"):
        main(["import", "verl", str(dump), "--policy", "Qwen/Qwen3", "--name", "theirs"])
    main(["import", "verl", str(dump), *ask])
    with pytest.raises(SystemExit, match=r"theirs\.yaml: is there already; give another --name, or --force"):
        main(["import", "verl", str(dump), *ask])
    with pytest.raises(UserError, match="signals: samples continuations, and rollouts"):
        choose("theirs", force=True, settings=["signals={}"])
    given = project / "data/imported/theirs/responses.parquet"
    given.write_bytes(given.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"responses\.parquet: not a readable Parquet file"):
        score("theirs", probe=False)
    given.unlink()
    with pytest.raises(UserError, match=r"rollouts\.given\.path: .*no such file; run `spectrum import` again"):
        score("theirs", probe=False)
