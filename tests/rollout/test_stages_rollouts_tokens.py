"""The stages sample, rollouts and tokens as a user runs them, their tables against recomputation row by row."""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pyarrow as pa
import pytest
import torch
from kit.policy import write_boxes
from kit.stages import BASE, run_rollouts, run_shard, write_params
from kit.tables import sums, write_questions
from test_rollout_measure import measure_by_loop
from transformers import AutoModelForCausalLM

from tokenspectrum.errors import UserError
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.engine import check_groups
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.rollout.types import Prompt, Response
from tokenspectrum.stages import tokens
from tokenspectrum.tables import attention, attention_rows, prompt_tokens, responses, sampled
from tokenspectrum.tables import tokens as tokens_table
from tokenspectrum.tokenlog.reader import read_table

LENGTH = 10


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A policy, training prompts, params, and what the three stages made of them."""
    root = tmp_path_factory.mktemp("home")
    write_boxes(root / "policy")
    write_questions(root / "prompts", {"train": sums(12)})
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SNAKEDVC_LOG_DIR", raising=False)
        patch.setenv("SNAKEDVC_PARAMS", str(write_params(root / "params.yaml")))
        run_rollouts(root, root / "rollouts")
        run_tokens(root, root / "rollouts", root)
    return root


def run_tokens(home: Path, given: Path, out: Path) -> None:
    flags = {"rollouts": given, "policy": home / "policy", "out": out / "tokens", "attention": out / "attention"}
    tokens.main([word for flag, path in flags.items() for word in (f"--{flag}", str(path))])


def use_params(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **changes) -> None:
    monkeypatch.setenv("SNAKEDVC_PARAMS", str(write_params(tmp_path / "params.yaml", **changes)))


def as_responses(home: Path) -> list[Response]:
    """The tables responses, sampled and prompt_tokens put together without the stage's own code."""
    prompts = {r["prompt_id"]: r["token_ids"] for r in read_table(home / "rollouts", "prompt_tokens").to_pylist()}
    drawn = defaultdict(dict)
    for row in read_table(home / "rollouts", "sampled").to_pylist():
        drawn[row["response_id"]][row["position"]] = row["token_id"]
    return [
        Response(
            row["prompt_id"],
            row["sample"],
            tuple(prompts[row["prompt_id"]]),
            tuple(drawn[row["response_id"]][t] for t in range(row["n_tokens"])),
            (0.0,) * row["n_tokens"],
            row["finish_reason"],
        )
        for row in read_table(home / "rollouts", "responses").to_pylist()
    ]


def test_the_policy_is_sampled_in_the_precision_of_training(home, tmp_path, monkeypatch):
    use_params(home, monkeypatch, tmp_path, train={"dtype": "bfloat16"})
    run_rollouts(home, tmp_path / "rollouts")
    found = [read_table(root / "rollouts", "sampled") for root in (home, tmp_path)]
    first = [table.filter(pa.compute.equal(table["position"], 0))["rollout_logprob"].to_numpy() for table in found]
    nearest = np.abs(first[0][:, None] - first[1][None, :]).min(axis=0)
    assert nearest.min() > 0
    assert np.median(nearest) < 0.05


def test_responses_are_judged_and_compared_within_their_group(home):
    rows = read_table(home / "rollouts", "responses").to_pylist()
    gold = {p.prompt_id: p.answer for p in sums(12)}
    assert [r["response_id"] for r in rows] == list(range(5 * 4))
    assert [r["sample"] for r in rows] == list(range(4)) * 5
    assert {(r["run"], r["seed"], r["step"]) for r in rows} == {("base", BASE, 0)}
    groups = defaultdict(list)
    for row in rows:
        boxes = row["text"].split("\\boxed{")[1:]
        answer = boxes[-1][0] if boxes else None
        raw = -2.0 if answer is None else 1.0 if answer == gold[row["prompt_id"]] else -1.0
        assert (row["answer"], row["reward_raw"], row["correct"]) == (answer, raw, raw == 1.0)
        assert row["reward"] == pytest.approx(raw + min(0.0, -(row["n_tokens"] - (LENGTH - 4)) / 4))
        assert (row["finish_reason"] == "stop") or row["n_tokens"] == LENGTH
        groups[row["prompt_id"]].append(row)
    assert len(groups) == 5
    for group in groups.values():
        rewards = [row["reward"] for row in group]
        for row in group:
            spread = stdev(rewards)
            expected = (row["reward"] - mean(rewards)) / (spread + 1e-6) if spread else 0.0
            assert row["advantage"] == pytest.approx(expected, abs=1e-5)
    assert {row["finish_reason"] for row in rows} == {"stop", "length"}
    assert {row["correct"] for row in rows} == {True, False}


def test_prompts_are_cut_on_the_left_and_counted(home, tmp_path, monkeypatch, caplog):
    _, tokenizer = load_policy(home / "policy")
    text = {p.prompt_id: p.text for p in sums(12)}
    rows = read_table(home / "rollouts", "prompt_tokens").to_pylist()
    n_prompt = {r["prompt_id"]: r["n_prompt"] for r in read_table(home / "rollouts", "responses").to_pylist()}
    for row in rows:
        whole = tokenizer.encode(text[row["prompt_id"]])
        assert row["token_ids"] == whole[-6:]
        assert row["n_dropped"] == max(0, len(whole) - 6)
        assert n_prompt[row["prompt_id"]] == len(row["token_ids"])
    cut = sum(row["n_dropped"] > 0 for row in rows)
    assert 0 < cut < len(rows)
    use_params(home, monkeypatch, tmp_path)
    with caplog.at_level("INFO"):
        run_rollouts(home, tmp_path / "again")
    assert f"5 prompts, {cut} of them cut on the left to 6 tokens" in caplog.text


def test_same_inputs_same_bytes(home, tmp_path, monkeypatch):
    use_params(home, monkeypatch, tmp_path)
    run_rollouts(home, tmp_path / "rollouts")
    run_tokens(home, tmp_path / "rollouts", tmp_path)
    for folder in ("rollouts", "tokens", "attention"):
        assert (tmp_path / folder / "manifest.json").read_bytes() == (home / folder / "manifest.json").read_bytes()


@pytest.fixture
def three_threads() -> Iterator[None]:
    """As Snakemake's environment says of a job of three cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_sampling_in_several_processes_changes_no_byte(home, tmp_path, monkeypatch):
    for processes in (1, 3):
        use_params(home, monkeypatch, tmp_path, systems={"processes": processes, "generate_batch": 5})
        with monkeypatch.context() as patch:
            engine, pids = TransformersEngine._decode, tmp_path / f"pids{processes}"

            def noted(*args, engine=engine, pids=pids, **options):
                with pids.open("a") as file:
                    print(os.getpid(), torch.get_num_threads(), file=file)
                return engine(*args, **options)

            patch.setattr(TransformersEngine, "_decode", noted)
            run_rollouts(home, tmp_path / str(processes))
        used, threads = (set(words) for words in zip(*map(str.split, pids.read_text().splitlines()), strict=True))
        assert threads == {"1"}
        assert used == {str(os.getpid())} if processes == 1 else len(used) > 1 and str(os.getpid()) not in used
    assert (tmp_path / "1/manifest.json").read_bytes() == (tmp_path / "3/manifest.json").read_bytes()


@pytest.mark.usefixtures("three_threads")
def test_scoring_in_several_processes_changes_no_byte(home, tmp_path, monkeypatch, caplog):
    use_params(home, monkeypatch, tmp_path, systems={"processes": 3, "micro_batch": 4})
    with caplog.at_level("INFO"):
        run_tokens(home, home / "rollouts", tmp_path / "three")
    assert torch.get_num_threads() == 1
    assert "scored by 3 processes" in caplog.text
    use_params(home, monkeypatch, tmp_path, systems={"micro_batch": 4})
    run_tokens(home, home / "rollouts", tmp_path / "one")
    for table in ("tokens", "attention"):
        one, three = (tmp_path / name / table / "manifest.json" for name in ("one", "three"))
        assert one.read_bytes() == three.read_bytes()


def test_shards_divide_the_probe_and_change_nothing(home, tmp_path, monkeypatch):
    use_params(home, monkeypatch, tmp_path, rollouts={"shards": [1, 2, 3]})
    run_rollouts(home, tmp_path / "rollouts", (3, 1, 2))
    shards = [read_table(tmp_path / "rollouts-samples" / str(s), "drawn")["prompt_id"].to_pylist() for s in (1, 2, 3)]
    probe = [row["prompt_id"] for row in read_table(home / "rollouts", "prompt_tokens").to_pylist()]
    assert [list(dict.fromkeys(ids)) for ids in shards] == [[probe[0], probe[3]], [probe[1], probe[4]], [probe[2]]]
    for table in ("responses", "sampled", "prompt_tokens"):
        found, whole = read_table(tmp_path / "rollouts", table), read_table(home / "rollouts", table)
        # What is decoded side by side differs, and so does float noise.
        if table == "sampled":
            noise = found["rollout_logprob"].to_numpy() - whole["rollout_logprob"].to_numpy()
            assert np.abs(noise).max() < 1e-5
            found, whole = found.drop_columns(["rollout_logprob"]), whole.drop_columns(["rollout_logprob"])
        assert found.equals(whole)


def test_a_shard_that_is_not_there_or_is_another_probes_is_named(home, tmp_path, monkeypatch):
    use_params(home, monkeypatch, tmp_path, rollouts={"shards": [1, 2]})
    with pytest.raises(UserError, match=r"samples/2: no manifest\.json, so it is not complete"):
        run_rollouts(home, tmp_path / "out", (1,))
    use_params(home, monkeypatch, tmp_path, rollouts={"shards": [1, 2], "seed": 4})
    with pytest.raises(UserError, match=r"prompt \w+ is not in the probe; run the sample stage again"):
        run_rollouts(home, tmp_path / "out", (2,))
    assert not (tmp_path / "out").exists()


def test_another_reward_judges_the_same_responses(home, tmp_path, monkeypatch):
    use_params(home, monkeypatch, tmp_path, reward={"overlong": None})
    samples = tmp_path / "rollouts-samples"
    shutil.copytree(home / "rollouts-samples", samples)
    run_rollouts(home, tmp_path / "rollouts", ())
    found, before = (read_table(root / "rollouts", "responses") for root in (tmp_path, home))
    assert found["reward"].to_pylist() == found["reward_raw"].to_pylist() == before["reward_raw"].to_pylist()
    assert found["reward"].to_pylist() != before["reward"].to_pylist()
    assert found["text"].to_pylist() == before["text"].to_pylist()


def test_the_probe_is_chosen_by_hash_or_from_the_front(home, tmp_path, monkeypatch):
    chosen = {}
    for name, changes in {
        "hash": {},
        "seed": {"seed": 4},
        "first": {"choose": "first"},
        "all": {"prompts": 99},
    }.items():
        use_params(home, monkeypatch, tmp_path, rollouts=changes)
        run_rollouts(home, tmp_path / name)
        chosen[name] = [row["prompt_id"] for row in read_table(tmp_path / name, "prompt_tokens").to_pylist()]
    everything = [p.prompt_id for p in sums(12)]
    assert chosen["first"] == everything[:5]
    assert sorted(chosen["all"]) == sorted(everything)
    assert len({tuple(sorted(ids)) for ids in chosen.values()}) == 4
    # The order of the file does not matter: a hash chooses.
    write_questions(tmp_path / "prompts", {"train": sums(12)[::-1]})
    (tmp_path / "policy").symlink_to(home / "policy")
    use_params(home, monkeypatch, tmp_path)
    run_rollouts(tmp_path, tmp_path / "reversed")
    assert [r["prompt_id"] for r in read_table(tmp_path / "reversed", "prompt_tokens").to_pylist()] == chosen["hash"]


def test_tokens_and_attention_equal_the_definition(home):
    given = as_responses(home)
    model = AutoModelForCausalLM.from_pretrained(home / "policy", attn_implementation="eager").double()
    found = read_table(home / "tokens", "tokens").to_pylist()
    keys = [(r, t) for r, response in enumerate(given) for t in range(len(response.token_ids))]
    assert [(row["response_id"], row["position"]) for row in found] == keys
    rows = {
        (row["layer"], row["response_id"], row["position"]): row
        for row in read_table(home / "attention", "attention").to_pylist()
    }
    assert len(rows) == 3 * len(keys)
    sampled_rows = read_table(home / "attention", "attention_rows").to_pylist()
    assert len(sampled_rows) == 3 * 6
    whole_rows = {(r["layer"], r["response_id"], r["position"]): r["row"] for r in sampled_rows}
    advantage = read_table(home / "rollouts", "responses")["advantage"].to_pylist()
    # The kit's local window, k and K differ from this reference's: those columns have their own test.
    names = ["visible", "entropy_raw", "entropy_norm", "distance", "local_mass", "support_50", "support_95"]
    for layer in range(3):
        for key, row, expected in zip(keys, found, measure_by_loop(model, given, layer, "decision"), strict=True):
            assert row["token_id"] == given[key[0]].token_ids[key[1]]
            assert row["logprob"] == pytest.approx(expected["logprob_N"], abs=2e-5)
            assert row["rollout_logprob"] == pytest.approx(row["logprob"], abs=2e-5)  # temperature 1
            assert row["predictive_entropy"] == pytest.approx(expected["predictive_entropy_N"], abs=2e-5)
            assert row["advantage"] == advantage[key[0]]
            assert (row["weight"], row["minibatch"], row["ratio"], row["loss"]) == (None,) * 4
            for name in names:
                assert rows[layer, *key][name] == pytest.approx(expected[f"{name}_N"], abs=2e-5), name
            if (layer, *key) in whole_rows:
                np.testing.assert_allclose(whole_rows[layer, *key], expected["row"], rtol=1e-3, atol=1e-4)


def test_schemas_on_disk(home):
    for folder, module in (
        ("rollouts", responses),
        ("rollouts", sampled),
        ("rollouts", prompt_tokens),
        ("tokens", tokens_table),
        ("attention", attention),
        ("attention", attention_rows),
    ):
        table = read_table(home / folder, module.__name__.rpartition(".")[2])
        assert table.schema.names == [*module.SCHEMA.names, "run", "seed", "step"]
    whole = read_table(home / "attention", "attention")
    assert whole["entropy_topk"].null_count == whole["support_80"].null_count == 0
    assert whole["visible"].type == pa.int32()


def test_options_of_tokens(home, tmp_path, monkeypatch):
    use_params(home, monkeypatch, tmp_path, tokens={"layers": ["mid"], "alignment": "token", "rows": 0, "top_k": None})
    run_tokens(home, home / "rollouts", tmp_path)
    found = read_table(tmp_path / "attention", "attention")
    base = read_table(home / "attention", "attention").filter(pa.compute.field("layer") == 1)
    assert set(found["layer"].to_pylist()) == {1}  # 20 of 36 layers, of 3
    assert found["visible"].to_pylist() == [n + 1 for n in base["visible"].to_pylist()]
    assert found["entropy_topk"].null_count == len(found)
    assert found["entropy_fixed"].null_count == 0
    assert read_table(tmp_path / "attention", "attention_rows").num_rows == 0


def test_bad_input_is_one_clear_line(home, tmp_path, monkeypatch):
    longest = max(read_table(home / "attention", "attention")["visible"].to_pylist())
    use_params(home, monkeypatch, tmp_path, tokens={"top_k": longest})
    with pytest.raises(
        UserError, match=rf"tokens\.top_k: {longest} reaches the longest context of {longest} positions"
    ):
        run_tokens(home, home / "rollouts", tmp_path)
    use_params(home, monkeypatch, tmp_path, tokens={"fixed_k": 1000})
    with pytest.raises(UserError, match=r"tokens\.fixed_k: 1000 reaches"):
        run_tokens(home, home / "rollouts", tmp_path)
    use_params(home, monkeypatch, tmp_path, tokens={"layers": [3]})
    with pytest.raises(UserError, match="layer 3: the policy has layers 0 to 2"):
        run_tokens(home, home / "rollouts", tmp_path)
    use_params(home, monkeypatch, tmp_path, sampling={"n": 1})
    with pytest.raises(UserError, match=r"sampling\.n: an advantage compares the responses of a prompt"):
        run_rollouts(home, tmp_path / "out")
    use_params(home, monkeypatch, tmp_path, rollouts={"shards": [1, 3]})
    with pytest.raises(UserError, match=r"rollouts: shards \[1, 3\]: must be 1, 2, \.\.\. without gaps"):
        run_shard(home, tmp_path / "out")
    use_params(home, monkeypatch, tmp_path, rollouts={"shards": list(range(1, 7))})
    with pytest.raises(UserError, match=r"rollouts: 6 shards for 5 prompts; list fewer"):
        run_shard(home, tmp_path / "out")
    use_params(home, monkeypatch, tmp_path, rollouts={"shards": list(range(1, 14)), "prompts": 20})
    with pytest.raises(UserError, match=r"nothing is left for shard 13 of 13, the probe has 12 prompts; list fewer"):
        run_shard(home, tmp_path / "out", 13)
    use_params(home, monkeypatch, tmp_path)
    with pytest.raises(UserError, match=r"--shard 2: rollouts\.shards has 1"):
        run_shard(home, tmp_path / "out", 2)
    use_params(home, monkeypatch, tmp_path)
    write_questions(tmp_path / "prompts", {"train": []})
    (tmp_path / "policy").symlink_to(home / "policy")
    with pytest.raises(UserError, match=r"train\.parquet: no problems in it"):
        run_rollouts(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "tokens").exists()


def test_lost_and_empty_responses_are_refused():
    prompts = [Prompt("a", (1,)), Prompt("b", (1,))]
    whole = [Response(p, i, (1,), (2,), (-1.0,), "stop") for p in "ab" for i in range(2)]
    check_groups(whole, prompts, 2)
    with pytest.raises(UserError, match="prompt b: 0 responses where exactly 2"):
        check_groups(whole[:2], prompts, 2)
    with pytest.raises(UserError, match="prompt a: 1 responses where exactly 2"):
        check_groups(whole[1:], prompts, 2)
    with pytest.raises(UserError, match="mixed them up"):
        check_groups(whole[::-1], prompts, 2)
    empty = Response("b", 1, (1,), (), (), "stop")
    with pytest.raises(UserError, match="prompt b, sample 1: an empty response"):
        check_groups([*whole[:3], empty], prompts, 2)


def test_the_files_hold_no_path(home):
    for path in (home / "rollouts").rglob("*.*"):
        assert str(home).encode() not in path.read_bytes()


def test_the_stages_take_the_policy_to_the_device_that_params_name(home, monkeypatch, tmp_path):
    asked = []

    def load(path, *, dtype="float32", device="cpu"):
        asked.append(device)
        raise UserError("enough")

    monkeypatch.setattr("tokenspectrum.rollout.engines.transformers.start.load_policy", load)
    monkeypatch.setattr("tokenspectrum.stages.tokens.load_policy", load)
    for device in ("cpu", "cuda"):
        use_params(home, monkeypatch, tmp_path, systems={"device": device})
        with pytest.raises(UserError, match="enough"):
            run_rollouts(home, tmp_path / "rollouts")
        with pytest.raises(UserError, match="enough"):
            run_tokens(home, home / "rollouts", tmp_path)
    assert asked == ["cpu", "cpu", "cuda", "cuda"]
