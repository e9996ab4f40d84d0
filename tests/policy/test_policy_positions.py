"""How long a sequence may be: by the config, and where a longer one would change the numbers of others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kit import jobs
from kit.policy import write_letters
from kit.rules import ANCHOR
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
)

from tokenspectrum.errors import UserError
from tokenspectrum.policy.positions import check_positions, positions_of
from tokenspectrum.rollout.make import make_engine
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.types import Response
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.training.backends.local.trainer import train
from tokenspectrum.training.inputs import read_inputs
from tokenspectrum.weighting.registry import make_rule

SIZES = {"vocab_size": 20, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
SIZES |= {"num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0, "max_position_embeddings": 64}
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 16}
LONG |= {"short_factor": [1.0] * 8, "long_factor": [3.0] * 8}
# Its angles are the same at any length.
LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "original_max_position_embeddings": 8}
LLAMA3 |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
PLAIN = {"rope_theta": 1e4}
YARN = PLAIN | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 40}


def phi() -> PreTrainedConfig:
    return Phi3Config(**SIZES, initializer_range=0.4, original_max_position_embeddings=16, rope_parameters=LONG)


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        (LlamaConfig(**SIZES), 64),
        (GPT2Config(n_positions=48, n_layer=1), 48),
        (BloomConfig(n_layer=1), None),
        (phi(), 16),
        (LlamaConfig(**SIZES, rope_parameters=LLAMA3), 64),
        (LlamaConfig(**SIZES, rope_parameters=PLAIN | {"rope_type": "dynamic", "factor": 4.0}), 64),
        (LlamaConfig(**SIZES, rope_parameters=PLAIN | {"rope_type": "linear", "factor": 2.0}), 128),
        (LlamaConfig(**SIZES, rope_parameters=YARN), 160),
    ],
)
def test_the_limit_is_that_of_the_config(config: PreTrainedConfig, limit: int | None) -> None:
    assert positions_of(config) == limit
    if limit is not None:
        check_positions(config, limit, "here")
        with pytest.raises(UserError, match=rf"^here: {limit + 1} tokens of .* the policy has {limit} positions"):
            check_positions(config, limit + 1, "here")


def response(n_prompt: int, n_tokens: int) -> Response:
    draws = np.random.default_rng(n_prompt)
    prompt, ids = (tuple(draws.integers(1, 20, n).tolist()) for n in (n_prompt, n_tokens))
    return Response(f"p{n_prompt}", 0, prompt, ids, (-1.0,) * n_tokens, "length")


def test_a_longer_sequence_would_change_those_beside_it() -> None:
    """The reason for the limit, from the model alone; and the scoring takes none beyond it."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(phi()).eval()
    short, long = response(4, 12), response(5, 12)
    rows = [torch.tensor([*r.prompt_token_ids, *r.token_ids]) for r in (short, long)]
    with torch.no_grad():
        alone = model(input_ids=rows[0][None]).logits[0]
        beside = model(input_ids=torch.stack([torch.nn.functional.pad(rows[0], (0, 1)), rows[1]])).logits[0, :16]
    assert float((alone - beside).abs().max()) > 0.1
    options = {"layers": [], "alignment": "decision", "local_window": 1, "micro_batch": 2}
    measure_responses(model, [short], **options)
    with pytest.raises(UserError, match=r"prompt p5, sample 0: 17 tokens .* 16 positions before its rotary embedding"):
        measure_responses(model, [short, long], **options)


def test_a_policy_without_room_is_refused_before_anything_is_sampled(tmp_path: Path) -> None:
    """The longest prompt of these problems has 9 tokens: no batch would ask for more than 25."""
    policy = write_letters(tmp_path / "policy", max_position_embeddings=31)
    with (
        pytest.raises(UserError, match="sampling: 32 tokens of prompt and response, but the policy has 31 positions"),
        make_engine("transformers", policy, SystemsParams(), dtype="float32", max_tokens=32),
    ):
        pass
    job = jobs.make_job(tmp_path / "job", jobs.write_prompts(tmp_path / "prompts", 8), policy)
    with pytest.raises(UserError, match="sampling: 32 tokens of prompt and response, but the policy has 31 positions"):
        train(job)
    assert not job.checkpoints.exists()


@pytest.mark.parametrize(
    ("changes", "layer", "seen"),
    [
        ({"make_config": MistralConfig, "sliding_window": 31}, 1, 31),
        ({"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}, 1, 24),
        ({"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}, 0, None),
        ({"make_config": MistralConfig, "sliding_window": 32}, 1, None),
        ({"make_config": MistralConfig, "sliding_window": None}, 1, None),
        ({"make_config": LlamaConfig, "sliding_window": 8}, 1, None),
    ],
)
def test_a_run_whose_rule_reads_a_window_is_refused_at_its_start(
    tmp_path: Path, changes: dict[str, Any], layer: int, seen: int | None
) -> None:
    policy = write_letters(tmp_path / "policy", **changes)
    rule = make_rule(**ANCHOR.record() | {"layer": layer})
    job = jobs.make_job(tmp_path / "job", jobs.write_prompts(tmp_path / "prompts", 8), policy, rule=rule)
    if seen is None:
        assert read_inputs(job).layers == (layer,)
        return
    with pytest.raises(UserError, match=rf"sampling: layer {layer} sees {seen} positions .* may have 32 tokens"):
        read_inputs(job)
