"""The local trainer and verl's actor on one stored batch: same weights, loss, gradient and policy, whatever the rule.

verl's FSDP2 engine and its own loss run in plain processes, one and then two of them, without Ray and vLLM.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from equivalence_kit import CASES, LAYER, MINI_BATCHES, PACKED, local_scores, play_locally, policy_with, store

from tokenspectrum.training.batch import flat_tokens
from tokenspectrum.training.dapo import importance_ratio
from tokenspectrum.weighting.registry import RULES

WORKER = Path(__file__).with_name("equivalence_worker.py")
WORLDS = (1, 2)
NAMES = [*(case.name for case in CASES), *(f"{case.name}-packed" for case in PACKED)]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_worlds(root: Path) -> list[subprocess.Popen]:
    processes = []
    for world in WORLDS:
        port = free_port()
        for rank in range(world):
            env = os.environ | {
                "RANK": str(rank),
                "WORLD_SIZE": str(world),
                "LOCAL_RANK": str(rank),
                "LOCAL_WORLD_SIZE": str(world),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "GLOO_SOCKET_IFNAME": "lo",
                "OMP_NUM_THREADS": "1",
                "VERL_PLATFORM": "cpu",
                "VERL_ENGINE_VENDOR": "tokenspectrum",
                "VERL_USE_EXTERNAL_MODULES": "tokenspectrum.training.backends.verl.platform_cpu",
                "HF_HUB_OFFLINE": "1",
            }
            with (root / f"world{world}-rank{rank}.log").open("w") as log:
                command = [sys.executable, str(WORKER), str(root / "stored.pt"), str(root / f"world{world}.pt")]
                processes.append(subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT))
    return processes


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    root = tmp_path_factory.mktemp("equivalence")
    batch = store(root)
    torch.save(batch, root / "stored.pt")
    return root, batch


@pytest.fixture(scope="module")
def played(stored):
    """Trainer ("local", or the number of verl's processes) -> case -> what became of each mini-batch."""
    root, batch = stored
    processes = start_worlds(root)
    try:
        found = {"local": {case.name: play_locally(batch, case) for case in CASES}}
        for process in processes:
            process.wait(timeout=400)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    logs = "\n".join(path.read_text()[-2000:] for path in sorted(root.glob("*.log")))
    assert [process.returncode for process in processes] == [0] * len(processes), logs
    return found | {world: torch.load(root / f"world{world}.pt", weights_only=False) for world in WORLDS}


def apart(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> tuple[float, float]:
    """|one - two| / |one| over all parameters, and the largest of any one parameter; 0 where both are 0."""
    assert one.keys() == two.keys()
    squares = [(float((one[k] - two[k]).double().square().sum()), float(one[k].double().square().sum())) for k in one]
    ratios = [(a / b) ** 0.5 if a else 0.0 for a, b in [*squares, tuple(map(sum, zip(*squares, strict=True)))]]
    return ratios[-1], max(ratios)


def check_same(one, two, start: dict[str, torch.Tensor]) -> None:
    assert len(one) == len(two) == MINI_BATCHES
    for m, (a, b) in enumerate(zip(one, two, strict=True)):
        assert torch.equal(a.weight_N, b.weight_N)
        assert (a.norm is None) == (b.norm is None)
        if a.norm is None:
            continue
        # Later mini-batches start from policies that differ by rounding, and terms of both signs may nearly cancel.
        assert b.loss == pytest.approx(a.loss, rel=1e-5, abs=1e-5 * a.size if m else 0)
        assert b.norm == pytest.approx(a.norm, rel=1e-5)
        slack = 2e-4 if m else 2e-5
        torch.testing.assert_close(b.ratio_N, a.ratio_N, rtol=slack, atol=slack)
        torch.testing.assert_close(b.term_N, a.term_N, rtol=slack, atol=slack)
        assert max(apart(a.gradient, b.gradient)) < 1e-4
        # AdamW divides a gradient by its own size.  A rounding, 2e-8 among 8e-3, makes a step too.
        whole, most = apart(a.policy, b.policy)
        assert whole < 1e-5
        assert most < 5e-5
        learnt = [{name: moved.policy[name] - start[name] for name in start} for moved in (a, b)]
        assert apart(*learnt)[0] < 1e-3


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", NAMES)
def test_verl_does_what_the_local_trainer_does(played, stored, name, world):
    case = name.removesuffix("-packed")
    start = stored[1].fresh if case.endswith("fresh") else stored[1].stale
    check_same(played["local"][case], played[world][name], start)


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_do_what_one_does(played, stored, name):
    case = name.removesuffix("-packed")
    start = stored[1].fresh if case.endswith("fresh") else stored[1].stale
    check_same(played[1][name], played[2][name], start)


@pytest.mark.parametrize("world", WORLDS)
def test_verl_scores_the_batch_as_we_do(played, stored, world):
    ours, theirs = stored[1].scores, played[world]["scores"]
    torch.testing.assert_close(theirs.logprob_N, ours.logprob_N, rtol=0, atol=5e-6)
    torch.testing.assert_close(theirs.predictive_entropy_N, ours.predictive_entropy_N, rtol=0, atol=5e-6)
    for name in ("entropy_raw_N", "entropy_norm_N", "distance_N", "local_mass_N"):
        one, two = (getattr(scores.attention[LAYER], name) for scores in (ours, theirs))
        torch.testing.assert_close(two, one, rtol=1e-5, atol=5e-6)


def test_every_rule_and_denominator_was_played():
    rules = [case.rule for case in CASES]
    assert {rule.kind for rule in rules} == set(RULES)
    for rule in rules:
        if "p" in rule.record():
            assert {r.denominator for r in rules if r.kind == rule.kind} == {"selected", "all"}
    assert {rule.record().get("entropy_of") for rule in rules} == {None, "old", "current"}
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_batch_is_a_hard_one(played, stored):
    """Both clips and the dual one are at work, some responses have no advantage, some mini-batches no weight."""
    batch = stored[1]
    rollouts, clip = batch.rollouts, batch.job.train.clip
    current = local_scores(policy_with(batch, batch.stale), rollouts.responses, None)
    ratio_N = importance_ratio(current.logprob_N, batch.scores.logprob_N)
    advantage_N = rollouts.judged.advantage_R.repeat_interleave(rollouts.lengths_R)
    for m in range(MINI_BATCHES):
        rows = (rollouts.minibatch_R == m).nonzero()[:, 0]
        assert len(rows) % 2 == 1
        at_N = flat_tokens(rows, rollouts.lengths_R)
        ratio, advantage = ratio_N[at_N], advantage_N[at_N]
        assert ((ratio > 1 + clip.high) & (advantage > 0)).any()
        assert ((ratio < 1 - clip.low) & (advantage < 0)).any()
        assert ((ratio > clip.dual) & (advantage < 0)).any()
    assert (advantage_N == 0).any()
    for moved in played["local"]["uniform-all"]:
        assert int(((moved.ratio_N < 0.8) | (moved.ratio_N > 1.28)).sum()) > 10
    assert float((played["local"]["uniform-all-fresh"][0].ratio_N - 1).abs().max()) < 1e-5
    skipped = {case.name: [moved.norm is None for moved in played["local"][case.name]] for case in CASES}
    assert any(any(left) and not all(left) for left in skipped.values())
    assert any(all(left) for left in skipped.values())
    assert any(moved.norm == 0 for moved in played["local"]["front-all-0.001"])


def test_without_the_scaling_verl_would_divide_by_all_tokens(played):
    """The two denominators differ, in verl too: by the number of tokens kept."""
    selected, everything = (played[2][f"back-{name}-0.3"][0] for name in ("selected", "all"))
    kept = float((selected.weight_N > 0).double().mean())
    assert everything.loss == pytest.approx(selected.loss * kept, rel=1e-5)
    assert kept < 0.5
