"""Rules that look back or read several layers, in the loop: what is logged, and resuming."""

import json
from itertools import pairwise

import pytest
from kit.jobs import run
from kit.rules import ANCHOR, LOW2HIGH

from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.training import loop
from tokenspectrum.training.backends.local.trainer import train
from tokenspectrum.weighting.registry import make_rule
from tokenspectrum.weighting.rule import Seen

ADAPTIVE = make_rule(
    **{name: value for name, value in LOW2HIGH.record().items() if name not in ("kind", "s_warm")},
    kind="adaptive",
    pace=3,
    window=2,
    # The random policy of these tests earns what it happens to: no step counts as worse than another.
    reward_gain=-10.0,
    length_drift=10.0,
    collapse_length=(0.01, 100.0),
    collapse_reward=10.0,
    fall=0.5,
)
STEPS = (1, 2, 3, 4)


def realised(job) -> list[dict]:
    return [json.loads(read_table(job.metrics, "metrics", step=step)["realised"][0].as_py()) for step in STEPS]


def told(job) -> list[tuple]:
    """(r, reason) that each step has to use, from the logged reward and length of those before it."""
    memory, found = job.rule.memory, []
    for step in STEPS:
        found.append((memory["ramp"], memory["reason"]))
        (row,) = read_table(job.metrics, "metrics", step=step).to_pylist()
        memory = job.rule.after(memory, Seen(row["reward"], row["length"]))
    return found


def test_r_follows_from_the_logged_steps_and_the_weights_from_r(make_job):
    job = make_job("a", rule=ADAPTIVE)
    run(job)
    found = [(of["ramp"], of["reason"]) for of in realised(job)]
    assert found == told(job)
    assert [r for r, _ in found] == pytest.approx([0, 0, 1 / 3, 2 / 3])
    assert [why for _, why in found] == ["start", "start", "stable", "stable"]
    order = [("response_id", "ascending"), ("position", "ascending")]
    for step, (r, _) in zip(STEPS, found, strict=True):
        tokens = read_table(job.out / "tokenlog", "tokens", step=step).sort_by(order)
        attention = read_table(job.out / "tokenlog", "attention", step=step).sort_by(order)
        h, w = attention["entropy_norm"].to_pylist(), tokens["weight"].to_pylist()
        pairs = sorted(zip(h, w, strict=True))
        # abar grows with entropy: the weights fall where r < 1/2 and rise above it.
        assert all((a[1] - b[1]) * (0.5 - r) >= -1e-6 for a, b in pairwise(pairs))
        (row,) = read_table(job.metrics, "metrics", step=step).to_pylist()
        assert row["mean_weight"] == pytest.approx(sum(w) / len(w))


def test_a_threshold_that_no_step_meets_keeps_r_at_its_start(make_job):
    held = make_job("a", rule=ADAPTIVE.model_copy(update={"reward_gain": 10.0}))
    run(held)
    assert {of["ramp"] for of in realised(held)} == {0.0}
    assert realised(held)[-1]["reason"] == "reward stagnates"


@pytest.mark.parametrize("step", [2, 3])
def test_a_resumed_run_remembers(make_job, monkeypatch, step):
    whole = run(make_job("whole", rule=ADAPTIVE))
    job = make_job("a", rule=ADAPTIVE, systems={"checkpoint_every": 1})
    real = loop.run_step

    class KilledError(Exception):
        pass

    def dying(actor, job, layers, at, *asked):
        if at == step + 1:
            raise KilledError
        return real(actor, job, layers, at, *asked)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_step", dying)
        with pytest.raises(KilledError):
            train(job)
    (newest, *_) = sorted(job.checkpoints.glob("step=*"), reverse=True)
    assert len(json.loads((newest / "state.json").read_text())["memory"]["rewards"]) == step
    assert run(job) == whole


def test_other_rules_remember_nothing(make_job):
    job = make_job("a", train={"steps": 1})
    run(job)
    (state,) = job.checkpoints.glob("step=*/state.json")
    assert "memory" not in json.loads(state.read_text())


def test_a_score_of_several_layers_is_the_mean_of_what_is_logged(make_job):
    rule = make_rule(**{name: value for name, value in ANCHOR.record().items() if name != "layer"}, layer=[0, 1])
    job = make_job("a", rule=rule, train={"steps": 1, "token_log": {"layers": ["rule"]}})
    run(job)
    order = [("response_id", "ascending"), ("position", "ascending")]
    tokens = read_table(job.out / "tokenlog", "tokens", step=1).sort_by(order).to_pylist()
    rows = read_table(job.out / "tokenlog", "attention", step=1).to_pylist()
    assert {row["layer"] for row in rows} == {0, 1}
    score = {}
    for row in rows:
        key = row["response_id"], row["position"]
        score[key] = score.get(key, 0.0) + row["entropy_norm"] / 2
    for r in {row["response_id"] for row in tokens}:
        mine = [row for row in tokens if row["response_id"] == r]
        k = max(1, int(rule.p * len(mine) + 0.5))
        wanted = sorted(range(len(mine)), key=lambda t, r=r: (score[r, t], t))[:k]
        assert {row["position"] for row in mine if row["weight"] == 1} == set(wanted)
    (run_row,) = read_table(job.out / "tokenlog", "runs").to_pylist()
    assert run_row["layer"] is None
