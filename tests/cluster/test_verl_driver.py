"""What the driver refuses before it touches Ray, and how it says what went wrong on a worker; one line each."""

import json
from dataclasses import replace

import pytest
import ray
from stage_kit import make_job

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.stop import stop_ids_in
from tokenspectrum.systems.ray.driver import one_line
from tokenspectrum.systems.ray.launch import ADDRESS_ENV
from tokenspectrum.training.backends.verl.controller import request_seed
from tokenspectrum.training.backends.verl.driver import run
from tokenspectrum.training.inputs import read_inputs


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path)


def refused(job) -> str:
    with pytest.raises(UserError) as e:
        read_inputs(job)
    assert "\n" not in str(e.value)
    return str(e.value)


def test_what_is_read_first(job):
    inputs = read_inputs(job)
    assert len(inputs.questions) == 24
    assert inputs.layers == (1, 0)
    assert stop_ids_in(job.policy, inputs.tokenizer) == {inputs.tokenizer.eos_token_id}


def test_a_layer_that_the_policy_lacks(job):
    rule = job.rule.model_copy(update={"layer": 2})
    assert "layer 2: the policy has layers 0 to 1" in refused(replace(job, rule=rule))
    # Also where the log does not ask for the rule's layer.
    log = job.train.token_log.model_copy(update={"layers": (0,)})
    train = job.train.model_copy(update={"token_log": log})
    assert "layer 2: the policy has layers 0 to 1" in refused(replace(job, rule=rule, train=train))
    log = job.train.token_log.model_copy(update={"layers": (7,)})
    train = job.train.model_copy(update={"token_log": log})
    assert "layer 7: the policy has layers 0 to 1" in refused(replace(job, train=train))


def test_a_vocabulary_that_is_not_the_tokenizers(job):
    file = job.policy / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + 5}))
    assert f"{config['vocab_size'] + 5} embedding rows, its tokenizer {config['vocab_size']} tokens" in refused(job)


def test_fewer_prompts_than_a_batch(job):
    train = job.train.model_copy(update={"prompts_per_step": 30})
    assert "24 training prompts are fewer than one batch of 30" in refused(replace(job, train=train))


def test_without_a_cluster(job, monkeypatch):
    monkeypatch.delenv(ADDRESS_ENV, raising=False)
    with pytest.raises(UserError, match=f"{ADDRESS_ENV} is not set"):
        run(job)


def test_stop_tokens_of_the_generation_config_count_too(job):
    tokenizer = read_inputs(job).tokenizer
    (job.policy / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 5]}))
    assert stop_ids_in(job.policy, tokenizer) == {1, 5}


def test_a_seed_is_a_function_of_what_it_is_for():
    seeds = {
        request_seed(seed, step, prompt, sample)
        for seed in (1, 2)
        for step in (1, 2)
        for prompt in ("a", "b")
        for sample in (0, 1)
    }
    assert len(seeds) == 16
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert request_seed(1, 2, "a", 0) == request_seed(1, 2, "a", 0)


def test_what_happened_on_a_worker_is_one_line():
    cause = ValueError("layer 0 sees a sliding window\nmore")
    error = ray.exceptions.RayTaskError("f", "Traceback ...\nValueError: layer 0", cause)
    assert one_line(error) == "ValueError in a worker: layer 0 sees a sliding window"
    assert one_line(ray.exceptions.RayActorError()).startswith("a worker died: ")
    for lost in ("Read error [127.0.0.1]:30906: Connection reset by peer", "NCCL error: remote process exited"):
        error = ray.exceptions.RayTaskError("f", "Traceback", RuntimeError(lost))
        assert one_line(error) == f"a worker died: another one lost it: {lost}"
    said = "\x1b[36mray::vllm_server_0_0:Server.__init__()\x1b[39m (pid=7)\n  File x\nValueError: 8 tokens are too few"
    error = ray.exceptions.ActorDiedError(ray.exceptions.RayTaskError("__init__", said, ValueError("8")))
    assert one_line(error) == "vllm_server_0_0:Server did not start: ValueError: 8 tokens are too few"
    assert one_line(OSError("disk\nfull")) == "OSError: full"
    assert one_line(UserError("step 3: the loss is nan")) == "step 3: the loss is nan"
