"""One real run of the train stage on verl, read back: its log is complete, and says what the policies really did."""

import itertools
import json

import duckdb
import numpy as np
import pytest
import torch
from stage_kit import RULE, RUN, SEED, STEPS, interrupted_run

from tokenspectrum.policy.load import load_policy
from tokenspectrum.results.sql import query_text
from tokenspectrum.reward.rewarded import reward_response
from tokenspectrum.rollout.chosen import chosen_responses, chosen_tokens
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.questions import encode_questions, read_questions
from tokenspectrum.rollout.types import Response
from tokenspectrum.tables import attention, attention_rows, metrics, responses, runs, tokens
from tokenspectrum.tokenlog.reader import check_folder, read_file, read_table
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch

LAYERS = (1, 0)
ALL_STEPS = range(1, STEPS + 1)


@pytest.fixture(scope="module")
def run():
    found = interrupted_run()
    assert found.second.code == 0, found.second.log[-4000:]
    return found


@pytest.fixture(scope="module")
def questions(run):
    return {q.prompt_id: q for q in itertools.chain.from_iterable(read_questions(run.job.prompts).values())}


@pytest.fixture(scope="module")
def scored(run, questions):
    """step -> (responses as logged, our scores of them under the policy that sampled them)."""
    log, found = run.job.train.token_log, {}
    for step in ALL_STEPS:
        model, tokenizer = load_policy(run.policies[step])
        logged = column(run, "tokens", step, "response_id", "token_id", "rollout_logprob")
        sampled = []
        for row in read_table(run.job.out / "tokenlog", "responses", step=step).to_pylist():
            prompt = encode_questions([questions[row["prompt_id"]]], tokenizer, 16)[0]
            own = logged["response_id"] == row["response_id"]
            sampled.append(
                Response(
                    row["prompt_id"],
                    row["sample"],
                    prompt.token_ids,
                    tuple(logged["token_id"][own].tolist()),
                    tuple(logged["rollout_logprob"][own].tolist()),
                    row["finish_reason"],
                )
            )
        options = {"layers": LAYERS, "alignment": RULE.alignment, "local_window": log.local_window, "micro_batch": 8}
        found[step] = sampled, measure_responses(model, sampled, **options), model, options
    return found


def column(run, table: str, step: int, *names: str) -> dict[str, np.ndarray]:
    """Columns of one step's table, in the order of the log."""
    found = read_table(run.job.out / "tokenlog", table, step=step, columns=list(names))
    return {name: found[name].to_numpy() for name in names}


def test_every_table_is_there_for_every_step_and_of_its_schema(run):
    for part in run.job.targets().values():
        check_folder(part)
    schemas = {"responses": responses, "tokens": tokens, "attention": attention}
    for step in ALL_STEPS:
        for name, module in schemas.items():
            path = run.job.out / f"tokenlog/{name}/run={RUN}/seed={SEED}/step={step}/part-0.parquet"
            assert read_file(path, module.SCHEMA).num_rows > 0
        path = run.job.metrics / f"metrics/run={RUN}/seed={SEED}/step={step}/part-0.parquet"
        assert read_file(path, metrics.SCHEMA).num_rows == 1
        sampled = run.job.out / f"tokenlog/attention_rows/run={RUN}/seed={SEED}/step={step}/part-0.parquet"
        assert sampled.exists() == (step % 2 == 1)
        if sampled.exists():
            assert read_file(sampled, attention_rows.SCHEMA).num_rows == 7 * len(LAYERS)
    files = sorted((run.job.out / "tokenlog").rglob("*.parquet"))
    assert len(files) == 3 * STEPS + STEPS // 2 + 1
    [row] = read_file(run.job.out / f"tokenlog/runs/run={RUN}/seed={SEED}/part-0.parquet", runs.SCHEMA).to_pylist()
    assert (row["trainer"], row["layer"], row["method"]) == ("verl", 1, RUN)
    assert json.loads(row["rule"]) == json.loads(RULE.to_json())


def test_sql_over_the_log_gives_every_s_m(run):
    connection = duckdb.connect()
    for table in ("runs", "tokens"):
        glob = f"{run.job.out}/tokenlog/{table}/**/*.parquet"
        connection.execute(f"CREATE VIEW {table} AS FROM read_parquet('{glob}', hive_partitioning = true)")
    glob = f"{run.job.metrics}/metrics/**/*.parquet"
    connection.execute(f"CREATE VIEW metrics AS FROM read_parquet('{glob}', hive_partitioning = true)")
    result = connection.execute(query_text("queries/reconcile.sql"))
    names = [column[0] for column in result.description]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    assert [(row["step"], row["minibatch"]) for row in rows] == list(itertools.product(ALL_STEPS, range(2)))
    for row in rows:
        assert row["s_m"] == pytest.approx(row["s_m_logged"], rel=1e-5, abs=1e-12)
        # verl's own figure against the terms that the driver works out from the actor's log-probabilities.
        assert row["step_loss"] == pytest.approx(row["step_loss_logged"], rel=1e-4, abs=1e-6)
    assert any(abs(row["s_m"]) > 1e-3 for row in rows)


def test_the_first_loss_of_a_step_is_its_s_m(run):
    """At ratio 1 what verl's own loss came to is what the driver computed before it: with one mini-batch of two, the
    mean of the two losses differs from that of the S_m by the second alone."""
    for row in read_table(run.job.metrics, "metrics").to_pylist():
        assert row["loss"] == pytest.approx(sum(row["s_m"]) / 2, abs=0.1)
        assert row["skipped"] == 0
        assert all(norm > 0 for norm in row["grad_norm"]) or row["kept_groups"] < 4
        assert 0 <= row["clip_fraction"] < 1


def test_the_rule_on_the_logged_scores_gives_the_logged_weights_bit_for_bit(run):
    for step in ALL_STEPS:
        logged = column(run, "tokens", step, "response_id", "weight", "minibatch")
        at_layer = read_table(run.job.out / "tokenlog", "attention", step=step, columns=["layer", "entropy_norm"])
        norm_N = at_layer["entropy_norm"].to_numpy()[at_layer["layer"].to_numpy() == RULE.layer]
        rows = read_table(run.job.out / "tokenlog", "responses", step=step).to_pylist()
        lengths_R = torch.tensor([row["n_tokens"] for row in rows])
        minibatch_N = torch.from_numpy(logged["minibatch"].copy()).long()
        batch = TokenBatch(
            lengths_R=lengths_R,
            seed=SEED,
            step=step,
            prompt_ids=[row["prompt_id"] for row in rows],
            samples_R=torch.tensor([row["sample"] for row in rows]),
            minibatch_R=minibatch_N[lengths_R.cumsum(0) - lengths_R],
            scores={"entropy_norm": torch.from_numpy(norm_N.copy())},
        )
        assert np.array_equal(apply(RULE, batch).weight_N.numpy(), logged["weight"])
        assert 0 < logged["weight"].mean() < 1


@pytest.mark.parametrize("step", ALL_STEPS)
def test_scores_are_those_of_the_policy_that_sampled(run, scored, step):
    _, scores, _, _ = scored[step]
    logged = column(run, "tokens", step, "logprob", "predictive_entropy", "rollout_logprob")
    assert np.abs(logged["logprob"] - scores.logprob_N.numpy()).max() < 1e-5
    assert np.abs(logged["predictive_entropy"] - scores.predictive_entropy_N.numpy()).max() < 1e-5
    assert np.abs(logged["logprob"] - logged["rollout_logprob"]).max() <= 1e-4
    bounds = {"entropy_raw": 1e-5, "entropy_norm": 1e-5, "distance": 1e-4, "local_mass": 1e-5}
    statistics = column(run, "attention", step, "layer", "visible", *bounds)
    for layer in LAYERS:
        at = statistics["layer"] == layer
        ours = scores.attention[layer]
        assert np.array_equal(statistics["visible"][at], ours.visible_N.numpy())
        for name, bound in bounds.items():
            assert np.abs(statistics[name][at] - getattr(ours, f"{name}_N").numpy()).max() < bound, (layer, name)


@pytest.mark.parametrize("step", [step for step in ALL_STEPS if step % 2])
def test_sampled_rows_are_those_of_the_policy_that_sampled(run, scored, step):
    asked = run.job.train.token_log.row_stats
    sampled, _, model, options = scored[step]
    ids = chosen_responses(sampled, asked.responses, SEED, step)
    chosen = [sampled[r] for r in ids]
    wanted = chosen_tokens(chosen, asked.rows, SEED, step)
    ours = measure_responses(
        model, chosen, **options, top_k=asked.top_k, fixed_k=asked.fixed_k, support=True, rows=wanted
    )
    found = read_table(run.job.out / "tokenlog", "attention_rows", step=step).to_pylist()
    assert [(row["response_id"], row["position"], row["layer"]) for row in found] == [
        (ids[r], t, layer) for layer in LAYERS for r, t in wanted
    ]
    rows = [row for layer in LAYERS for row in ours.rows[layer]]
    for got, row in zip(found, rows, strict=True):
        assert len(got["row"]) == len(row)
        assert np.abs(np.array(got["row"], np.float32) - row.numpy()).max() < 1e-3
    names = ("layer", "response_id", "entropy_topk", "entropy_fixed", "support_50", "support_95")
    table = read_table(run.job.out / "tokenlog", "attention", step=step, columns=list(names)).to_pandas()
    for layer in LAYERS:
        at = table[table["layer"] == layer]
        inside = at["response_id"].isin(ids)
        assert at["entropy_topk"][~inside].isna().all()
        for name in names[2:]:
            mine = getattr(ours.attention[layer], f"{name}_N").numpy()
            slack = 1e-5 if name.startswith("entropy") else 0
            assert np.abs(at[name][inside].to_numpy() - mine).max() <= slack, (layer, name)


def test_rewards_are_our_verifiers(run, questions):
    limit = run.job.sampling.max_response_tokens
    for step in ALL_STEPS:
        for row in read_table(run.job.out / "tokenlog", "responses", step=step).to_pylist():
            asked = questions[row["prompt_id"]]
            ours = reward_response(
                row["text"], row["n_tokens"], asked.ground_truth, asked.data_source, run.job.reward, limit
            )
            assert (row["answer"], row["correct"]) == (ours.answer, ours.correct)
            # The table holds float32.
            assert row["reward_raw"] == np.float32(ours.reward_raw)
            assert row["reward"] == np.float32(ours.reward)


def test_dynamic_sampling_says_what_it_drew(run):
    rows = read_table(run.job.metrics, "metrics").to_pylist()
    for row in rows:
        assert row["generated_groups"] in (4, 8)
        assert row["kept_groups"] == 4 or row["generated_groups"] == 8
    for step in ALL_STEPS:
        found = read_table(run.job.out / "tokenlog", "responses", step=step, columns=["prompt_id"])["prompt_id"]
        assert len(found) == 16
        assert len(set(found.to_pylist())) == 4


def test_every_rank_and_server_is_placed(run):
    placed = json.loads((run.logs / "placement.json").read_text())
    assert [actor["rank"] for actor in placed["actors"]] == [0]
    assert [server["replica"] for server in placed["servers"]] == [0]
    assert placed["actors"][0]["node"] == placed["servers"][0]["node"]
    assert placed["actors"][0]["pid"] != placed["servers"][0]["pid"]
