"""Rules that look back or read several layers, in the loop: what is logged, and resuming."""

import copy
import json
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
import torch
from kit.jobs import run
from kit.responses import response
from kit.rules import ANCHOR, LOW2HIGH

from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.training import loop
from tokenspectrum.training.backends.local.backend import LocalBackend
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
    probe_every=0,
)
STEPS = (1, 2, 3, 4)
PROBING = ADAPTIVE.model_copy(update={"probe_every": 2, "cosine": -1.0})


def realised(job) -> list[dict]:
    return [realised_of(job.out, step) for step in STEPS]


def realised_of(out, step: int) -> dict:
    (path,) = (out / "metrics").rglob(f"step={step}/*.parquet")
    return json.loads(pq.read_table(path, partitioning=None)["realised"][0].as_py())


def told(job) -> list[tuple]:
    """(r, reason) that each step has to use, from the logged reward and length of those before it."""
    memory, found = job.rule.memory, []
    for step in STEPS:
        found.append((memory["ramp"], memory["reason"]))
        (row,) = read_table(job.metrics, "metrics", step=step).to_pylist()
        cosine = json.loads(row["realised"]).get("cosine")
        memory = job.rule.after(memory, Seen(row["reward"], row["length"], cosine))
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


def autograd_cosine(model, responses, advantage_N, weight_N) -> float:
    """From the whole model's logits, one response after another, in float64."""
    model = copy.deepcopy(model).double()
    sums = [torch.zeros((), dtype=torch.float64) for _ in range(2)]
    at = 0
    for one in responses:
        ids, n = [*one.prompt_token_ids, *one.token_ids], len(one.prompt_token_ids)
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        for t, token in enumerate(one.token_ids):
            term = -advantage_N[at].double() * logprobs[n + t - 1, token]
            sums[0], sums[1], at = sums[0] + weight_N[at].double() * term, sums[1] + term, at + 1
    one, other = (
        torch.cat([g.flatten() for g in torch.autograd.grad(total, model.parameters(), retain_graph=True)])
        for total in sums
    )
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


def test_the_probe_is_the_cosine_by_autograd_and_changes_no_update(make_job, monkeypatch):
    wanted, real = [], LocalBackend.cosine

    def spied(self, responses, advantage_N, weight_N):
        wanted.append(autograd_cosine(self.model, responses, advantage_N, weight_N))
        return real(self, responses, advantage_N, weight_N)

    monkeypatch.setattr(LocalBackend, "cosine", spied)
    plain, probed = make_job("plain", rule=ADAPTIVE), make_job("probed", rule=PROBING)
    before, after = run(plain), run(probed)
    found = [of.get("cosine") for of in realised(probed)]
    assert [i for i, value in enumerate(found) if value is not None] == [0, 2]
    assert found[::2] == pytest.approx(wanted, abs=1e-5)
    assert all(abs(value) < 0.999 for value in wanted)
    assert {name for name in before if before[name] != after[name] and not name.endswith("manifest.json")} == {
        *(name for name in before if name.startswith(("metrics/", "tokenlog/runs/")) and name.endswith(".parquet"))
    } - {f"metrics/metrics/run=method/seed=1/step={step}/part-0.parquet" for step in (2, 4)}


def test_a_gradient_of_0_has_no_cosine(make_job):
    job = make_job("a", rule=PROBING)
    tokenizer = load_tokenizer(job.policy)
    with LocalBackend.start(job, tokenizer) as backend:
        answers = [response([2, 3], [4, 5, 6], "p")]
        advantage_N = torch.tensor([1.0, 1.0, 1.0])
        assert backend.cosine(answers, advantage_N, torch.zeros(3)) is None
        assert backend.cosine(answers, torch.zeros(3), torch.ones(3)) is None
        assert backend.cosine(answers, advantage_N, torch.full((3,), 0.25)) == pytest.approx(1)


@pytest.mark.parametrize(("bound", "r"), [(-1.0, [0, 0, 1 / 3, 2 / 3]), (1.0, [0, 0, 0, 0])])
def test_a_cosine_below_its_bound_holds_r(make_job, bound, r):
    job = make_job("a", rule=PROBING.model_copy(update={"cosine": bound}))
    run(job)
    assert [(of["ramp"], of["reason"]) for of in realised(job)] == told(job)
    assert [of["ramp"] for of in realised(job)] == pytest.approx(r)


@pytest.mark.parametrize("step", [2, 3])
def test_a_resumed_run_remembers(make_job, monkeypatch, step):
    # A bound of the middle: what r does after step 3 hangs on the cosine of step 1 or 3.
    rule = PROBING.model_copy(update={"cosine": 0.5})
    whole = run(make_job("whole", rule=rule))
    job = make_job("a", rule=rule, systems={"checkpoint_every": 1})
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
    memory = json.loads((newest / "state.json").read_text())["memory"]
    assert len(memory["rewards"]) == step
    assert memory["cosine"] == realised_of(newest.parent / "outputs", step - (step + 1) % 2)["cosine"]
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
