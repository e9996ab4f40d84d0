"""The log alone gives back what the trainer used: every S_m and clipped loss by SQL, every weight by the rule."""

import duckdb
import numpy as np
import pytest
import torch
from kit.rules import ANCHOR, LOW2HIGH, UNIFORM
from transformers import AutoTokenizer

from tokenspectrum.policy.vocab import vocab_columns
from tokenspectrum.results.sql import query_text
from tokenspectrum.training.backends.local.trainer import train
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.registry import make_rule

PREDICTIVE = make_rule(
    kind="predictive-high",
    denominator="all",
    p=0.3,
    score="predictive_entropy",
    scope="minibatch",
    entropy_of="current",
)
RULES = {
    "uniform": UNIFORM,
    "anchor": ANCHOR,
    "low2high": LOW2HIGH,
    "random": make_rule(kind="random", denominator="selected", p=0.3),
    "predictive, current": PREDICTIVE,
    "anchor, current": make_rule(**ANCHOR.record() | {"entropy_of": "current"}),
    "loss": make_rule(
        **PREDICTIVE.record() | {"kind": "loss-high", "denominator": "selected", "score": "loss_magnitude"}
    ),
    "types": make_rule(**ANCHOR.record() | {"kind": "type-matched", "matches": "anchor"}),
}
# Large enough for the ratio to leave the clip range.
FAST = {"learning_rate": 0.02, "warmup_steps": 0}


@pytest.fixture(params=RULES)
def logged(make_job, request):
    """(connection with a view a table, rule) of a finished run."""
    rule = RULES[request.param]
    job = make_job("a", rule=rule, train=FAST)
    train(job)
    return views(job), rule


def views(job) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for table in ("runs", "responses", "tokens", "attention"):
        if (job.out / "tokenlog" / table).exists():
            glob = f"{job.out}/tokenlog/{table}/**/*.parquet"
            connection.execute(f"CREATE VIEW {table} AS FROM read_parquet('{glob}', hive_partitioning = true)")
    glob = f"{job.metrics}/metrics/**/*.parquet"
    connection.execute(f"CREATE VIEW metrics AS FROM read_parquet('{glob}', hive_partitioning = true)")
    return connection


def reconciled(connection) -> list[dict]:
    result = connection.execute(query_text("queries/reconcile.sql"))
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def test_sql_reproduces_every_s_m_and_loss(logged) -> None:
    connection, _ = logged
    rows = reconciled(connection)
    assert [(row["step"], row["minibatch"]) for row in rows] == [(s, m) for s in range(1, 5) for m in range(2)]
    for row in rows:
        assert row["s_m"] == pytest.approx(row["s_m_logged"], rel=1e-5, abs=1e-12)
        assert row["step_loss"] == pytest.approx(row["step_loss_logged"], rel=1e-5, abs=1e-12)
    assert any(abs(row["s_m"]) > 1e-3 for row in rows)


def test_sql_tells_a_wrong_weight(make_job) -> None:
    job = make_job("a")
    train(job)
    connection = views(job)
    connection.execute("CREATE TABLE t AS FROM tokens")
    connection.execute("DROP VIEW tokens; ALTER TABLE t RENAME TO tokens")
    connection.execute("UPDATE tokens SET weight = weight * 1.01 WHERE step = 2 AND minibatch = 1 AND position = 0")
    wrong = [
        (row["step"], row["minibatch"])
        for row in reconciled(connection)
        if row["s_m"] != pytest.approx(row["s_m_logged"], rel=1e-5, abs=1e-12)
    ]
    assert wrong == [(2, 1)]


def test_each_loss_follows_from_its_ratio_and_advantage(logged) -> None:
    connection, _ = logged
    rows = connection.execute("SELECT ratio, advantage, loss, minibatch FROM tokens").fetchall()
    for ratio, advantage, loss, _ in rows:
        want = max(-advantage * ratio, -advantage * min(max(ratio, 0.8), 1.28))
        want = min(want, -advantage * 10) if advantage < 0 else want
        assert loss == pytest.approx(want, rel=1e-5, abs=1e-6)
    # Nothing has moved before the first mini-batch; afterwards the clip binds.
    assert all(ratio == pytest.approx(1, abs=1e-4) for ratio, *_, m in rows if m == 0)
    assert any(abs(ratio - 1) > 0.3 for ratio, *_, m in rows if m == 1)


def test_the_rule_on_the_logged_scores_gives_the_logged_weights(logged, policy_dir) -> None:
    connection, rule = logged
    tokenizer = AutoTokenizer.from_pretrained(policy_dir)
    types_V = np.unique(vocab_columns(tokenizer, "")["type"], return_inverse=True)[1]
    for step in range(1, 5):
        responses = connection.execute(
            "SELECT prompt_id, sample, n_tokens, response_id FROM responses WHERE step = ? ORDER BY response_id", [step]
        ).fetchall()
        tokens = connection.execute(
            "SELECT weight, predictive_entropy, minibatch, response_id, token_id, advantage, loss FROM tokens "
            "WHERE step = ? ORDER BY response_id, position",
            [step],
        ).fetchnumpy()
        # Before the step's first update every ratio is exactly 1.
        size_N = np.abs(np.where(tokens["minibatch"] == 0, tokens["advantage"], tokens["loss"]))
        scores = {"predictive_entropy": torch.from_numpy(tokens["predictive_entropy"])}
        scores["loss_magnitude"] = torch.from_numpy(size_N)
        if rule.layers:
            norm = connection.execute(
                "SELECT entropy_norm FROM attention WHERE step = ? AND layer = ? ORDER BY response_id, position",
                [step, *rule.layers],
            ).fetchnumpy()
            scores["entropy_norm"] = torch.from_numpy(norm["entropy_norm"])
        lengths_R = torch.tensor([n for _, _, n, _ in responses])
        minibatch_N = torch.from_numpy(tokens["minibatch"]).long()
        batch = TokenBatch(
            lengths_R=lengths_R,
            seed=1,
            step=step,
            prompt_ids=[prompt for prompt, *_ in responses],
            samples_R=torch.tensor([sample for _, sample, *_ in responses]),
            minibatch_R=minibatch_N[lengths_R.cumsum(0) - lengths_R],
            scores=scores,
            token_type_N=torch.from_numpy(types_V[tokens["token_id"]]),
        )
        same_N = apply(rule, batch).weight_N == torch.from_numpy(tokens["weight"])
        if not rule.needs_current or rule.looks_at.name == "loss_magnitude":
            # Losses are logged as they were at each update.
            assert bool(same_N.all())
        else:
            # The first mini-batch is trained on by the policy that was scored; the others by one that has moved.
            assert bool(same_N[minibatch_N == 0].all())
            assert not bool(same_N[minibatch_N == 1].all())
