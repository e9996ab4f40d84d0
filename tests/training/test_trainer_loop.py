"""The loop: same bytes from the same seed, what each knob does, and what stops a run."""

import math
import shutil
from dataclasses import replace

import duckdb
import numpy as np
import pytest
import torch
from kit.files import tree
from kit.jobs import run
from kit.policy import write_letters
from kit.rules import ANCHOR, LOW2HIGH, UNIFORM
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, LlamaConfig

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.questions import read_questions
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.training.backends.local import backend as backend_module
from tokenspectrum.training.backends.local.trainer import train
from tokenspectrum.weighting.registry import make_rule


def test_same_seed_same_bytes_and_another_seed_other_bytes(make_job) -> None:
    first, second = run(make_job("a")), run(make_job("b"))
    other = run(make_job("c", seed=2))
    assert first == second
    assert first["policy/step=00004/model.safetensors"] != other["policy/step=00004/model.safetensors"]
    assert sum("/tokens/" in name for name in first) == 4


def test_rules_change_what_is_learnt(make_job) -> None:
    found = {run(make_job(r.kind, rule=r))["policy/step=00004/model.safetensors"] for r in (ANCHOR, LOW2HIGH, UNIFORM)}
    assert len(found) == 3


def test_kept_steps_are_policies_of_their_own(make_job) -> None:
    job, short = make_job("a", train={"keep_steps": [2]}), make_job("b", train={"steps": 2})
    long_files, short_files = run(job), run(short)
    assert sorted(path.name for path in (job.out / "policy").iterdir() if path.is_dir()) == ["step=00002", "step=00004"]
    name = "policy/step=00002/model.safetensors"
    assert long_files[name] == short_files[name] != long_files["policy/step=00004/model.safetensors"]
    folder = job.out / "policy" / "step=00002"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.vocab_size == len(tokenizer)


@pytest.mark.parametrize("systems", [{"micro_batch": 3}, {"generate_batch": 5}, {"checkpoint_every": 3}], ids=str)
def test_systems_params_change_no_result_beyond_float_noise(make_job, systems) -> None:
    base, other = make_job("a", train={"steps": 2}), make_job("b", train={"steps": 2}, systems=systems)
    run(base)
    run(other)
    check_close(base, other)


def test_two_threads_change_no_result_beyond_float_noise(make_job) -> None:
    # Small, because two threads on a busy machine wait for each other at every operation.
    small = {"steps": 1, "prompts_per_step": 2, "mini_batches": 1}
    base, other = make_job("a", train=small), make_job("b", train=small, systems={"threads": 2})
    sampling = base.sampling.model_copy(update={"max_response_tokens": 13})
    run(replace(base, sampling=sampling))
    run(replace(other, sampling=sampling))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    check_close(base, other)


def check_close(base, other) -> None:
    """The same tokens were sampled, and what came of them agrees to 1e-4."""
    one, two = (read_table(job.out / "metrics", "metrics").sort_by("step").to_pydict() for job in (base, other))
    for name in ("loss", "s_m", "reward", "predictive_entropy", "attention_entropy", "grad_norm", "score_at_cut"):
        assert np.array(one[name]) == pytest.approx(np.array(two[name]), rel=1e-4, abs=1e-6)
    tokens = [read_table(job.out / "tokenlog", "tokens")["token_id"].to_pylist() for job in (base, other)]
    assert tokens[0] == tokens[1]


def test_another_architecture_with_a_head_of_its_own_trains_and_resumes(make_job, tmp_path) -> None:
    policy = write_letters(tmp_path / "policy", make_config=LlamaConfig, tie_word_embeddings=False)
    whole = make_job("a", policy=policy)
    files = run(whole)
    assert files["policy/step=00004/model.safetensors"] != tree(policy)["model.safetensors"]
    # The same job, from the checkpoint of step 2.
    shutil.rmtree(whole.checkpoints / "step=00004")
    shutil.rmtree(whole.out)
    assert run(whole) == files


def test_a_policy_with_a_soft_cap_is_refused(make_job, tmp_path) -> None:
    policy = write_letters(
        tmp_path / "policy", make_config=Gemma2Config, final_logit_softcapping=0.5, sliding_window=64
    )
    with pytest.raises(UserError, match="soft cap"):
        train(make_job("a", policy=policy))


def test_learning_rate_warms_up(make_job) -> None:
    job = make_job("a")
    run(job)
    assert read_table(job.out / "metrics", "metrics").sort_by("step")["lr"].to_pylist() == [5e-4, 1e-3, 1e-3, 1e-3]


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"tokens": "none"}, {"tokens"}),
        ({"attention": "none", "row_stats": None}, {"attention", "attention_rows"}),
        ({"row_stats": None}, {"attention_rows"}),
        ({"layers": []}, {"attention", "attention_rows"}),
    ],
)
def test_token_log_leaves_out_what_it_is_told_to_and_nothing_else_changes(make_job, change, gone) -> None:
    whole, less = run(make_job("a")), run(make_job("b", train={"token_log": change}))
    tables = {name.split("/")[1] for name in whole if name.startswith("tokenlog/") and name.endswith(".parquet")}
    left = {name.split("/")[1] for name in less if name.startswith("tokenlog/") and name.endswith(".parquet")}
    assert tables - left == gone
    kept = [n for n in less if n.endswith(".parquet") and n.split("/")[1] not in {"attention", "metrics", "runs"}]
    assert all(less[name] == whole[name] for name in [*kept, "policy/step=00004/model.safetensors"])


def test_layers_and_row_statistics(make_job) -> None:
    stats = {"every": 3, "responses": 5, "rows": 7, "top_k": 3, "fixed_k": 4}
    job = make_job("a", train={"token_log": {"layers": ["rule", 0, "deep"], "row_stats": stats}})
    run(job)
    views = duckdb.connect()
    for view, table in (("attention", "attention"), ("rows", "attention_rows")):
        files = f"{job.out}/tokenlog/{table}/*/*/*/*.parquet"
        views.execute(f"CREATE VIEW {view} AS FROM read_parquet('{files}', hive_partitioning = true)")
    query = views.sql(
        "SELECT layer, step, count(*), count(entropy_topk), count(support_95), "
        "count(DISTINCT response_id) FILTER (entropy_fixed IS NOT NULL) FROM attention GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    # The rule's layer is 1, deep is too: logged once.
    assert {(layer, step) for layer, step, *_ in query} == {(layer, step) for layer in (0, 1) for step in (1, 2, 3, 4)}
    for _, step, n, topk, support, responses in query:
        assert responses == (5 if step in (1, 4) else 0)
        assert topk == support <= n
    assert views.sql("SELECT step, layer, count(*) FROM rows GROUP BY ALL ORDER BY ALL").fetchall() == [
        (step, layer, 7) for step in (1, 4) for layer in (0, 1)
    ]
    # The stored row is the token's: its entropy and its length are those of the attention table.
    joined = views.sql(
        "SELECT r.row, a.visible, a.entropy_raw, a.entropy_topk FROM rows r JOIN attention a USING (step, response_id, "
        "position, layer)"
    ).fetchall()
    assert len(joined) == 28
    for row, visible, raw, topk in joined:
        assert len(row) == visible
        assert -sum(p * math.log(p) for p in row if p) == pytest.approx(raw, abs=5e-3)
        top = sorted(row)[-3:]
        assert -sum(p / sum(top) * math.log(p / sum(top)) for p in top) == pytest.approx(topk, abs=5e-3)


def test_local_window_is_the_one_asked_for(make_job) -> None:
    jobs = [make_job(str(w), train={"token_log": {"local_window": w}}) for w in (1, 4, 64)]
    masses = []
    for job in jobs:
        run(job)
        masses.append(read_table(job.out / "tokenlog", "attention", step=1)["local_mass"].to_numpy())
    assert (masses[0] < masses[1]).all()
    assert masses[2] == pytest.approx(1.0, abs=1e-5)


def test_k_beyond_the_longest_context_is_refused(make_job) -> None:
    stats = {"every": 1, "responses": 5, "rows": 7, "top_k": 40, "fixed_k": 4}
    with pytest.raises(UserError, match=r"row_stats.top_k: 40 reaches the longest context"):
        train(make_job("a", train={"token_log": {"row_stats": stats}}))


def test_a_policy_whose_responses_get_short_is_not_stopped_for_k(make_job, monkeypatch) -> None:
    """Later than step 1: of a row that k covers, the statistics are those of the whole row."""
    generate = backend_module.LocalBackend.generate

    def collapsed(self, prompts, sampling, step):
        responses = generate(self, prompts, sampling, step)
        cut = [replace(r, token_ids=r.token_ids[:1], logprobs=r.logprobs[:1]) for r in responses]
        return responses if step == 1 else cut

    monkeypatch.setattr(backend_module.LocalBackend, "generate", collapsed)
    stats = {"every": 1, "responses": 16, "rows": 7, "top_k": 14, "fixed_k": 14}
    job = make_job("a", train={"token_log": {"row_stats": stats}})
    run(job)
    rows = read_table(job.out / "tokenlog", "attention", step=4).to_pylist()
    assert 0 < max(row["visible"] for row in rows) < 14
    for name in ("entropy_topk", "entropy_fixed"):
        assert [row[name] for row in rows] == pytest.approx([row["entropy_raw"] for row in rows], abs=1e-5)


def test_no_weight_no_step_and_it_is_counted(make_job) -> None:
    job = make_job("a", rule=make_rule(kind="front", denominator="selected", p=0.01))
    run(job)
    metrics = read_table(job.out / "metrics", "metrics").to_pydict()
    assert metrics["skipped"] == [2] * 4
    assert metrics["grad_norm"] == [[None, None]] * 4
    assert metrics["loss"] == [0.0] * 4
    final = tree(job.out)["policy/step=00004/model.safetensors"]
    assert final == tree(job.policy)["model.safetensors"]


def test_a_nan_stops_the_run_by_name_and_keeps_the_checkpoint(make_job, monkeypatch) -> None:
    job, real = make_job("a"), backend_module.accumulate_gradient
    calls = []

    def broken(*args):
        terms = real(*args)
        calls.append(1)
        return replace(terms, loss_N=terms.loss_N * math.nan) if len(calls) == 6 else terms

    monkeypatch.setattr(backend_module, "accumulate_gradient", broken)
    with pytest.raises(UserError, match=r"step 3: mini-batch 1: the loss is .*checkpoint is kept in") as e:
        train(job)
    assert "\n" not in str(e.value)
    assert [path.name for path in job.checkpoints.glob("step=*")] == ["step=00002"]
    assert not job.out.exists()
    # Mended, it goes on from there, to the bytes of a run that nothing happened to.
    monkeypatch.setattr(backend_module, "accumulate_gradient", real)
    assert run(job) == run(make_job("b"))


def test_a_policy_that_blows_up_stops_the_run(make_job) -> None:
    with pytest.raises(UserError, match=r"step \d.*lower train.learning_rate"):
        train(make_job("a", train={"learning_rate": 1e30, "warmup_steps": 0, "grad_clip": 1e30}))


def test_cut_prompts_are_counted(make_job, caplog) -> None:
    job = make_job("a", train={"steps": 1})
    with caplog.at_level("INFO"):
        train(replace(job, sampling=job.sampling.model_copy(update={"max_prompt_tokens": 5})))
    responses = read_table(job.out / "tokenlog", "responses")
    drawn = set(responses["prompt_id"].to_pylist())
    texts = [q.messages[0]["content"] + "=" for q in read_questions(job.prompts)["train"] if q.prompt_id in drawn]
    long = sum(len(text) > 5 for text in texts)
    assert 0 < long < len(texts) == 4
    assert f"{long} prompts were cut on the left to 5 tokens" in caplog.text
    assert max(responses["n_prompt"].to_pylist()) == 5


def test_tensorboard_and_progress_go_to_the_log_folder_alone(make_job, monkeypatch, tmp_path) -> None:
    plain = run(make_job("a"))
    job, logs = make_job("b", systems={"tracker": "tensorboard"}), tmp_path / "logs"
    monkeypatch.setenv("SNAKEDVC_LOG_DIR", str(logs))
    assert run(job) == plain
    events = EventAccumulator(str(logs / "tensorboard")).Reload()
    rewards = [(event.step, event.value) for event in events.Scalars("train/reward")]
    logged = read_table(job.out / "metrics", "metrics").sort_by("step")["reward"].to_pylist()
    assert rewards == [(i + 1, pytest.approx(value)) for i, value in enumerate(logged)]
    assert not any("tfevents" in name for name in tree(job.out))
    monkeypatch.setenv("SNAKEDVC_LOG_DIR", str(tmp_path / "quiet"))
    train(make_job("c"))
    assert not (tmp_path / "quiet" / "tensorboard").exists()
