"""Attention statistics out of verl's own forward pass are those of our scoring, however verl lays the batch out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine_kit import HALF, LAYERS, WAYS
from equivalence_kit import store
from test_verl_equivalence import free_port

from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.measure import measure_responses

WORKER = Path(__file__).with_name("engine_worker.py")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    root = tmp_path_factory.mktemp("engine")
    batch = store(root)
    torch.save(batch, root / "stored.pt")
    return root, batch


@pytest.fixture(scope="module")
def found(stored):
    root, _ = stored
    env = os.environ | {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "VERL_PLATFORM": "cpu",
        "VERL_ENGINE_VENDOR": "tokenspectrum",
        "VERL_USE_EXTERNAL_MODULES": "tokenspectrum.training.backends.verl.platform_cpu",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, str(WORKER), str(root / "stored.pt"), str(root / "found.pt")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(root / "found.pt", weights_only=False)


@pytest.mark.parametrize("name", WAYS)
def test_the_actor_scores_as_we_do(stored, found, name):
    way, scores = WAYS[name], found[name]
    job, responses = stored[1].job, stored[1].rollouts.responses
    model, _ = load_policy(job.policy)
    request = way.request
    ours = measure_responses(
        model,
        responses,
        layers=LAYERS if request else (),
        alignment=request.alignment if request else "decision",
        local_window=4,
        micro_batch=4,
        top_k=request and request.top_k,
        fixed_k=request and request.fixed_k,
        support=bool(request and request.support),
        rows=way.rows,
    )
    assert (scores.logprob_N - ours.logprob_N).abs().max() < 1e-5
    assert (scores.predictive_entropy_N - ours.predictive_entropy_N).abs().max() < 1e-5
    assert tuple(scores.attention) == (LAYERS if request else ())
    for layer in scores.attention:
        for field, want_N in vars(ours.attention[layer]).items():
            got_N = getattr(scores.attention[layer], field)
            assert (got_N is None) == (want_N is None), field
            if want_N is not None:
                bound = 1e-4 if field == "distance_N" else 1e-5
                assert got_N.dtype == want_N.dtype
                assert (got_N - want_N).abs().max() < bound, (layer, field)
        if way.rows:
            for got, want in zip(scores.rows[layer], ours.rows[layer], strict=True):
                assert got.shape == want.shape
                assert (got - want).abs().max() < 1e-5


def test_on_a_cpu_the_actor_has_portable_kernels(found):
    assert found["kernels installed"] == 1


def test_the_two_alignments_differ(found):
    decision, token = (found[name].attention[1] for name in ("decision", "token"))
    assert torch.equal(token.visible_N, decision.visible_N + 1)
    assert (token.entropy_raw_N - decision.entropy_raw_N).abs().max() > 1e-3


@pytest.mark.parametrize("name", HALF)
def test_in_bfloat16_the_statistics_are_those_of_float32_up_to_its_precision(found, name):
    """Queries and keys are rounded to 8 bits; what is made of them is summed in float32."""
    exact, rough = found[name], found[f"bfloat16: {name}"]
    assert 1e-5 < (rough.logprob_N - exact.logprob_N).abs().max() < 0.3
    assert (rough.predictive_entropy_N - exact.predictive_entropy_N).abs().max() < 0.1
    for layer in LAYERS:
        assert rough.attention[layer].entropy_norm_N.dtype == torch.float32
        apart_N = rough.attention[layer].entropy_norm_N - exact.attention[layer].entropy_norm_N
        assert 1e-6 < apart_N.abs().max() < 0.05
