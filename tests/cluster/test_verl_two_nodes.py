"""A run on two Ray nodes: actors and vLLM on both, a log that adds up, and the end of it when an actor dies."""

import json
import os
import signal
import time

import duckdb
import pytest
from cluster_kit import MARK, TWO, marked, until
from stage_kit import finish, make_job, metrics_of, start

from tokenspectrum.results.sql import query_text

KILL_AFTER = 3  # steps; the next one is under way
LIMIT_S, END_S = 600.0, 60.0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The job, how its stage ended, how long that took, and the processes left, when the second actor was killed."""
    root = tmp_path_factory.mktemp("two")
    job = make_job(root, {"nodes": 2, "node_addresses": TWO})
    mark = f"two-nodes-{os.getpid()}"
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, mark)
        process = start(job, root)
    try:
        done = metrics_of(job, KILL_AFTER)
        until(lambda: done.exists() or process.poll() is not None, LIMIT_S, f"step {KILL_AFTER}")
        assert process.poll() is None, (root / "stage.out").read_text()[-4000:]
        placed = json.loads((root / "logs" / "placement.json").read_text())
        (actor,) = [one for one in placed["actors"] if one["address"] == TWO[1]]
        os.kill(actor["pid"], signal.SIGKILL)
        killed = time.monotonic()
        ended = finish(process, root, began)
        took = time.monotonic() - killed
        return job, root, ended, took, marked(mark)
    finally:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)


def test_a_dead_worker_ends_the_job_with_one_line(run):
    _, root, ended, took, left = run
    assert ended.code == 1, ended.log[-4000:]
    assert took < END_S
    said = [line for line in (root / "stage.out").read_text().splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert "worker died" in said[0]
    assert left == {}


def test_both_nodes_train_and_sample(run):
    _, root, *_ = run
    placed = json.loads((root / "logs" / "placement.json").read_text())
    for part in ("actors", "servers"):
        assert len({one["node"] for one in placed[part]}) == 2
        assert sorted(one["address"] for one in placed[part]) == sorted(TWO)
    assert [one["rank"] for one in placed["actors"]] == [0, 1]


def test_sql_over_the_log_gives_every_s_m(run):
    job, *_ = run
    connection = duckdb.connect()
    outputs = job.checkpoints / "outputs"
    for folder, table in (("tokenlog", "runs"), ("tokenlog", "tokens"), ("metrics", "metrics")):
        steps = [""] if table == "runs" else [f"step={step}/" for step in range(1, KILL_AFTER + 1)]
        files = [f"{outputs}/{folder}/{table}/**/{step}*.parquet" for step in steps]
        connection.execute(f"CREATE VIEW {table} AS FROM read_parquet({files}, hive_partitioning = true)")
    result = connection.execute(query_text("queries/reconcile.sql"))
    names = [column[0] for column in result.description]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    assert [(row["step"], row["minibatch"]) for row in rows] == [(s, m) for s in (1, 2, 3) for m in (0, 1)]
    for row in rows:
        assert row["s_m"] == pytest.approx(row["s_m_logged"], rel=1e-5, abs=1e-12)
    assert any(abs(row["s_m"]) > 1e-3 for row in rows)
