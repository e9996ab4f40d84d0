"""The vLLM engine itself, on a CPU: against the transformers policy, and what becomes of lost requests."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import vllm_kit

from tokenspectrum.errors import UserError
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.engine import check_groups
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.rollout.engines.vllm.engine import VllmEngine
from tokenspectrum.rollout.engines.vllm.shard import Request, Sampled
from tokenspectrum.rollout.types import Heat, Prompt, Response, Sampling
from tokenspectrum.systems.params import VllmSystems
from tokenspectrum.systems.shard import Shard

EOS, VOCAB, LONGEST = 1, 23, 100
STALL_S = 10
PROMPTS = [Prompt(f"{i:016x}", tuple(2 + (7 * i + j) % 20 for j in range(1 + 3 * i))) for i in range(9)]
SAMPLING = Sampling(temperature=1.0, top_p=0.95, max_tokens=30, n=4)


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return vllm_kit.write_policy(tmp_path_factory.mktemp("vllm") / "policy")


def start(policy: Path, shards: int, **systems: float) -> VllmEngine:
    return VllmEngine(policy, vllm_kit.systems(shards, **systems), dtype="float32", max_tokens=LONGEST)


@pytest.fixture(scope="module")
def engine(policy) -> Iterator[VllmEngine]:
    with start(policy, 2, stall_timeout=STALL_S) as engine:
        yield engine


@pytest.fixture(scope="module")
def alone(policy) -> Iterator[VllmEngine]:
    """One shard, which tests may damage."""
    with start(policy, 1) as engine:
        yield engine


@pytest.fixture(scope="module")
def responses(engine) -> list[Response]:
    return engine.generate(PROMPTS, SAMPLING, seed=3, step=5)


def ids(responses: list[Response]) -> list[tuple[int, ...]]:
    return [response.token_ids for response in responses]


def test_every_prompt_gets_its_samples_in_order(responses):
    check_groups(responses, PROMPTS, SAMPLING.n)
    assert [r.prompt_token_ids for r in responses] == [p.token_ids for p in PROMPTS for _ in range(4)]
    assert all(len(set(ids(responses[p * 4 : p * 4 + 4]))) > 1 for p in range(len(PROMPTS)))


def test_a_response_ends_with_the_end_of_sequence_or_at_the_limit(responses):
    ends = Counter(r.finish_reason for r in responses)
    assert ends["stop"] > 3
    assert ends["length"] > 3
    for r in responses:
        assert (r.token_ids[-1] == EOS) == (r.finish_reason == "stop")
        assert EOS not in r.token_ids[:-1]
        assert len(r.token_ids) <= 30
        assert r.finish_reason == "stop" or len(r.token_ids) == 30


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_reported_logprobs_are_those_of_the_transformers_policy(engine, policy, temperature):
    sampling = Sampling(temperature, 0.95, 30, 4)
    found = engine.generate(PROMPTS, sampling, seed=3, step=5)
    for response, logprob_TV in zip(found, vllm_kit.logprobs_of(policy, found), strict=True):
        expected_T = logprob_TV.gather(-1, torch.tensor(response.token_ids)[:, None])[:, 0]
        reported_T = torch.tensor(response.logprobs, dtype=torch.float64)
        assert (reported_T - expected_T).abs().max() < 1e-4
        assert reported_T.max() <= 0


def test_seeds_reproduce_and_every_part_of_them_counts(engine, responses):
    assert ids(engine.generate(PROMPTS, SAMPLING, seed=3, step=5)) == ids(responses)
    others = [
        engine.generate(PROMPTS, SAMPLING, seed=4, step=5),
        engine.generate(PROMPTS, SAMPLING, seed=3, step=6),
        engine.generate(PROMPTS, SAMPLING, seed=3, step=5, domain="evaluate"),
        engine.generate([Prompt(f"f{p.prompt_id[1:]}", p.token_ids) for p in PROMPTS], SAMPLING, seed=3, step=5),
    ]
    for other in others:
        same = sum(a == b for a, b in zip(ids(other), ids(responses), strict=True))
        assert same < len(responses) / 4


def test_a_response_does_not_depend_on_what_is_beside_it(engine, responses):
    some = engine.generate(PROMPTS[3:5], SAMPLING, seed=3, step=5)
    assert ids(some) == ids(responses)[12:20]
    fewer = engine.generate(PROMPTS, Sampling(1.0, 0.95, 30, 2), seed=3, step=5)
    assert ids(fewer) == [tokens for i, tokens in enumerate(ids(responses)) if i % 4 < 2]


def test_more_prompt_tokens_than_fit_into_one_pass_change_nothing(engine, caplog):
    many = [Prompt(f"{i:016x}", tuple(2 + (i + i // 7 * j) % 20 for j in range(90))) for i in range(300)]
    sampling = Sampling(1.0, 1.0, 10, 1)
    together = engine.generate(many, sampling, seed=3, step=5)
    assert "once more" not in caplog.text
    for i in (0, 150, 299):
        assert engine.generate(many[i : i + 1], sampling, seed=3, step=5)[0].token_ids == together[i].token_ids


def test_temperature_and_nucleus_shape_the_draws_exactly(engine, policy):
    temperature, top_p, n = 0.8, 0.6, 3000
    drawn = engine.generate(PROMPTS[:1], Sampling(temperature, top_p, 1, n), seed=1, step=0)
    logprob_V = vllm_kit.logprobs_of(policy, drawn[:1])[0][0]
    prob_V, id_V = (logprob_V / temperature).softmax(-1).sort(descending=True)
    kept = prob_V.cumsum(-1) - prob_V < top_p
    expected = dict(zip(id_V[kept].tolist(), (prob_V[kept] / prob_V[kept].sum()).tolist(), strict=True))
    assert 2 < len(expected) < VOCAB - 5
    counts = Counter(r.token_ids[0] for r in drawn)
    assert set(counts) <= set(expected)
    distance = sum(abs(counts[token] / n - p) for token, p in expected.items()) / 2
    assert distance < 0.03


@pytest.mark.parametrize("heat", [Heat(2.0, 3.0, 1.0), Heat(2.0, 1.0, 0.3)])
def test_heat_is_the_transformers_engines(engine, policy, heat):
    """Of the first and second tokens of many samples: the distribution that heat.py and the policy's logits make."""
    n = 3000
    sampling = Sampling(1.0, 1.0, 2, n, heat)
    drawn = engine.generate(PROMPTS[:2], sampling, seed=1, step=0)
    model, tokenizer = load_policy(policy)
    ours = TransformersEngine(model, tokenizer, batch_rows=n).generate(PROMPTS[:2], sampling, seed=1, step=0)
    cut = []
    for p in range(2):
        logprob_V = vllm_kit.logprobs_of(policy, drawn[p * n : p * n + 1])[0][0]
        cut.append(float(-(logprob_V.exp() * logprob_V).sum()) > heat.threshold)
        prob_V = (logprob_V / (heat.above if cut[-1] else heat.below)).softmax(-1)
        for answers in (drawn, ours):
            counts = Counter(r.token_ids[0] for r in answers[p * n : (p + 1) * n])
            assert sum(abs(counts[v] / n - float(q)) for v, q in enumerate(prob_V)) / 2 < 0.06
        # The second token is drawn at a temperature of its own after each first one.
        second, other = (Counter(r.token_ids[-1] for r in some[p * n : (p + 1) * n]) for some in (drawn, ours))
        assert sum(abs(second[v] - other[v]) for v in range(VOCAB)) / 2 / n < 0.08
    # Requests without heat are left alone.
    assert ids(engine.generate(PROMPTS, SAMPLING, seed=3, step=5)) == ids(
        engine.generate(PROMPTS, Sampling(1.0, 0.95, 30, 4, Heat(2.0, 1.0, 1.0)), seed=3, step=5)
    )


def test_the_number_of_shards_changes_nothing(alone, responses):
    assert ids(alone.generate(PROMPTS, SAMPLING, seed=3, step=5)) == ids(responses)


def test_a_shard_that_dies_is_replaced_and_nothing_is_lost(alone, responses):
    before = alone.shards[0].process

    def kill() -> None:
        time.sleep(0.05)
        os.kill(before.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    again = alone.generate(PROMPTS, SAMPLING, seed=3, step=5)
    killer.join()
    assert ids(again) == ids(responses)
    before.wait()
    assert ids(alone.generate(PROMPTS, SAMPLING, seed=3, step=5)) == ids(responses)
    assert alone.shards[0].process.pid != before.pid


def test_a_request_that_fails_twice_is_named_by_its_prompt(alone):
    bad = Prompt("bad0bad0bad0bad0", (2, VOCAB + 500))
    with pytest.raises(UserError, match="prompt bad0bad0bad0bad0: vLLM failed twice") as e:
        alone.generate([*PROMPTS[:2], bad, *PROMPTS[2:]], SAMPLING, seed=3, step=5)
    assert "\n" not in str(e.value)


def listen(monkeypatch, hear) -> None:
    """Have `hear` called with each shard whose progress reaches the owner."""
    said = Shard.said

    def listening(shard: Shard) -> list[Sampled] | None:
        answer = said(shard)
        if answer is None:
            hear(shard)
        return answer

    monkeypatch.setattr(Shard, "said", listening)


def test_steps_that_finish_no_response_are_progress(engine, responses, monkeypatch):
    done = []
    listen(monkeypatch, lambda shard: done.append(shard.done))
    p = next(p for p in range(len(PROMPTS)) if len(responses[4 * p].token_ids) > 1)
    engine.generate(PROMPTS[p : p + 1], Sampling(1.0, 0.95, 30, 1), seed=3, step=5)
    assert done[0] == 0


def test_a_shard_that_stops_in_mid_generation_is_given_up_and_nothing_is_lost(engine, monkeypatch, caplog):
    many = Sampling(1.0, 1.0, 70, 32)
    undisturbed = engine.generate(PROMPTS, many, seed=3, step=5)
    before, stopped = list(engine.shards), []

    def stop(shard: Shard) -> None:
        if not stopped:
            stopped.append(shard)
            os.kill(shard.process.pid, signal.SIGSTOP)

    listen(monkeypatch, stop)
    assert ids(engine.generate(PROMPTS, many, seed=3, step=5)) == ids(undisturbed)
    assert f"no progress for {STALL_S} s (systems.vllm.stall_timeout); its requests are sent once more" in caplog.text
    assert [shard for shard in before if shard not in engine.shards] == stopped


def test_a_prompt_whose_shard_stops_twice_is_named(engine, monkeypatch):
    ask = Shard.ask

    def stop(shard: Shard, requests: list[Request]) -> None:
        if shard.index == 0:
            os.kill(shard.process.pid, signal.SIGSTOP)
        ask(shard, requests)

    monkeypatch.setattr(Shard, "ask", stop)
    said = rf"prompt 0{{16}}: vLLM failed twice to answer it: no progress for {STALL_S} s"
    with pytest.raises(UserError, match=said) as e:
        engine.generate(PROMPTS, SAMPLING, seed=3, step=5)
    assert "\n" not in str(e.value)


def test_no_process_is_left_behind(engine):
    pids = [shard.process.pid for shard in engine.shards]
    engine.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.killpg(pid, 0)


def test_shards_end_with_a_stage_that_is_killed(policy):
    start_one = "import sys, test_vllm_engine as t; from pathlib import Path; t.start(Path(sys.argv[1]), 1)"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    owner = subprocess.Popen([sys.executable, "-c", start_one, str(policy)], env={**os.environ, "PYTHONPATH": path})
    children = Path(f"/proc/{owner.pid}/task/{owner.pid}/children")
    shards = wait_for(lambda: [int(pid) for pid in children.read_text().split() if is_shard(int(pid))])
    owner.kill()
    owner.wait()
    assert wait_for(lambda: not any(is_shard(pid) for pid in shards))


def is_shard(pid: int) -> bool:
    try:
        return b"engines.vllm.shard" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def wait_for(condition, seconds: float = 60.0):
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.2)
    return found


def test_a_vocabulary_of_another_size_is_refused_before_anything_starts(policy, tmp_path):
    other = tmp_path / "policy"
    shutil.copytree(policy, other)
    text = (other / "config.json").read_text()
    (other / "config.json").write_text(text.replace(f'"vocab_size": {VOCAB}', '"vocab_size": 64'))
    with pytest.raises(UserError, match="64 embedding rows, its tokenizer 23 tokens"):
        start(other, 1)


def test_a_context_longer_than_the_policys_is_refused(policy):
    with pytest.raises(UserError, match="129 tokens of prompt and response, but the policy has 128"):
        VllmEngine(policy, vllm_kit.systems(), dtype="float32", max_tokens=129)


def damage(policy: Path) -> VllmSystems:
    weights = policy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return vllm_kit.systems()


def ask_for_too_much(policy: Path) -> VllmSystems:
    return vllm_kit.systems(gpu_memory_utilization=0.999)


@pytest.mark.parametrize("obstacle", [damage, ask_for_too_much])
def test_an_engine_that_cannot_start_is_one_line_within_a_minute(policy, tmp_path, obstacle):
    other = tmp_path / "policy"
    shutil.copytree(policy, other)
    systems = obstacle(other)
    started = time.monotonic()
    with pytest.raises(UserError, match=r"vLLM shard 0 does not start: \w+") as e:
        VllmEngine(other, systems, dtype="float32", max_tokens=LONGEST)
    assert time.monotonic() - started < 60
    assert "\n" not in str(e.value)


def test_more_shards_than_gpus_are_refused(policy, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    systems = vllm_kit.systems(2, device="cuda", tensor_parallel=2)
    with pytest.raises(UserError, match="needs more than the 3 in CUDA_VISIBLE_DEVICES"):
        VllmEngine(policy, systems, dtype="float32", max_tokens=LONGEST)
