"""verl's configuration from our params: verl itself accepts it, and an override is checked against verl's own keys."""

import copy
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from verl.utils.config import omega_conf_to_dataclass, validate_config

from tokenspectrum.cli.main import main
from tokenspectrum.errors import UserError
from tokenspectrum.params.base import PARAMS_ENV
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.render import render
from tokenspectrum.params.root import parse_params
from tokenspectrum.training.backends.verl.config import VerlFiles, config_of, resolve

ROOT = Path(__file__).resolve().parents[2]
PRESETS = [path.stem for path in sorted((ROOT / "presets").glob("*.yaml"))]
FILES = VerlFiles(Path("train.parquet"), Path("val.parquet"), Path("policy"), Path("checkpoints"))


def flat(preset: str = "tiny", **edits: Any) -> dict[str, Any]:
    data = copy.deepcopy(read_preset(preset, ROOT / "presets").data)
    data["train"]["trainer"] = "verl"
    for rule in data["rules"].values():
        if rule.get("probe_every"):  # refused: verl measures no gradient
            rule["probe_every"] = 0
            del rule["cosine"]
    for field, value in edits.items():
        node = data
        *path, last = field.split("__")
        for key in path:
            node = node[key]
        node[last] = value
    params = parse_params(data, preset)
    return config_of(params.train, params.sampling, params.systems, 1, FILES, name="full-s1")


def overridden(overrides: dict[str, Any]) -> Any:
    return resolve(flat(train__verl_overrides=overrides))


@pytest.mark.parametrize("preset", PRESETS)
def test_verl_accepts_the_configuration_of_every_preset(preset):
    config = resolve(flat(preset))
    validate_config(config, use_reference_policy=False, use_critic=False)
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    assert actor.engine.strategy == "fsdp2"
    assert not OmegaConf.missing_keys(config.actor_rollout_ref.actor)


def test_the_loss_is_the_one_that_we_define():
    actor = omega_conf_to_dataclass(resolve(flat()).actor_rollout_ref.actor)
    assert (actor.clip_ratio_low, actor.clip_ratio_high, actor.clip_ratio_c) == (0.2, 0.28, 10.0)
    assert actor.loss_agg_mode == "token-mean"
    assert (actor.use_kl_loss, actor.entropy_coeff, actor.policy_loss.loss_mode) == (False, 0, "vanilla")
    assert (actor.optim.lr_scheduler_type, actor.optim.lr_warmup_steps) == ("constant", 0)


@pytest.mark.parametrize(
    ("edits", "key", "value"),
    [
        ({"train__steps": 33}, "trainer.total_training_steps", 33),
        ({"train__prompts_per_step": 8}, "data.train_batch_size", 8),
        ({"train__mini_batches": 2}, "actor_rollout_ref.actor.ppo_mini_batch_size", 8),
        ({"train__learning_rate": 0.5}, "actor_rollout_ref.actor.optim.lr", 0.5),
        ({"train__weight_decay": 0.5}, "actor_rollout_ref.actor.optim.weight_decay", 0.5),
        ({"train__betas": [0.5, 0.6]}, "actor_rollout_ref.actor.optim.betas", [0.5, 0.6]),
        ({"train__grad_clip": 0.5}, "actor_rollout_ref.actor.optim.clip_grad", 0.5),
        ({"train__rollout_is_threshold": 2.5}, "algorithm.rollout_correction.rollout_is", "token"),
        ({"train__rollout_is_threshold": 2.5}, "algorithm.rollout_correction.rollout_is_threshold", 2.5),
        ({"train__clip": {"low": 0.1, "high": 0.3, "dual": 5.0}}, "actor_rollout_ref.actor.clip_ratio_low", 0.1),
        ({"train__clip": {"low": 0.1, "high": 0.3, "dual": 5.0}}, "actor_rollout_ref.actor.clip_ratio_high", 0.3),
        ({"train__clip": {"low": 0.1, "high": 0.3, "dual": 5.0}}, "actor_rollout_ref.actor.clip_ratio_c", 5.0),
        ({"sampling__temperature": 0.7}, "actor_rollout_ref.rollout.temperature", 0.7),
        ({"sampling__top_p": 0.5}, "actor_rollout_ref.rollout.top_p", 0.5),
        ({"sampling__n": 4}, "actor_rollout_ref.rollout.n", 4),
        ({"sampling__n": 4}, "actor_rollout_ref.actor.rollout_n", 4),
        ({"sampling__max_prompt_tokens": 50}, "actor_rollout_ref.rollout.prompt_length", 50),
        ({"sampling__max_response_tokens": 50}, "actor_rollout_ref.rollout.response_length", 50),
        ({"sampling__max_response_tokens": 50}, "actor_rollout_ref.rollout.max_model_len", 146),
        ({"systems__generate_batch": 7}, "actor_rollout_ref.rollout.max_num_seqs", 7),
        ({"systems__verl__nodes": 2}, "trainer.nnodes", 2),
        ({"systems__verl__gpus_per_node": 2}, "trainer.n_gpus_per_node", 2),
        (
            {"systems__verl__gpus_per_node": 2, "systems__verl__tensor_parallel": 2},
            "actor_rollout_ref.rollout.tensor_model_parallel_size",
            2,
        ),
        (
            {"systems__verl__gpu_memory_utilization": 0.4},
            "actor_rollout_ref.rollout.gpu_memory_utilization",
            0.4,
        ),
        ({"systems__verl__max_tokens_per_gpu": 999}, "actor_rollout_ref.actor.ppo_max_token_len_per_gpu", 999),
        (
            {"systems__verl__gradient_checkpointing": True},
            "actor_rollout_ref.model.enable_gradient_checkpointing",
            True,
        ),
        ({"systems__verl__offload": True}, "actor_rollout_ref.actor.fsdp_config.optimizer_offload", True),
        ({"systems__verl__device": "cuda"}, "trainer.device", "cuda"),
        ({"systems__verl__device": "cuda"}, "actor_rollout_ref.rollout.enable_chunked_prefill", True),
        ({"systems__verl__device": "cuda"}, "actor_rollout_ref.model.use_remove_padding", True),
        (
            {"systems__verl__device": "cuda", "train__dtype": "bfloat16"},
            "actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype",
            "bf16",
        ),
        (
            {"systems__verl__device": "cuda", "train__dtype": "bfloat16"},
            "actor_rollout_ref.rollout.dtype",
            "bfloat16",
        ),
    ],
    ids=lambda v: str(v),
)
def test_each_param_reaches_its_key(edits, key, value):
    before, after = (OmegaConf.select(resolve(config), key) for config in (flat(), flat(**edits)))
    assert after == value
    assert before != value


def test_an_override_reaches_verl():
    key = "actor_rollout_ref.actor.fsdp_config.forward_prefetch"
    assert OmegaConf.select(resolve(flat()), key) is False
    assert OmegaConf.select(overridden({key: True}), key) is True
    nested = overridden({"actor_rollout_ref": {"rollout": {"engine_kwargs": {"vllm": {"swap_space": 1}}}}})
    assert nested.actor_rollout_ref.rollout.engine_kwargs.vllm.swap_space == 1
    key = "actor_rollout_ref.rollout.max_num_batched_tokens"
    assert OmegaConf.select(overridden({key: 4096}), key) == 4096


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            {"actor_rollout_ref.actor.fsdp_config.forward_prefetches": True},
            "verl has no key actor_rollout_ref.actor.fsdp",
        ),
        ({"rollout.enforce_eager": True}, "the nearest are actor_rollout_ref.rollout.enforce_eager"),
        ({"actor_rollout_ref.actor.optimizer.lr": 1.0}, "verl has no key actor_rollout_ref.actor.optimizer.lr"),
        (
            {"actor_rollout_ref.actor.fsdp_config.forward_prefetch": "no"},
            "cannot be 'no': it is False in verl's defaults",
        ),
        (
            {"actor_rollout_ref.rollout.quantization": 3, "actor_rollout_ref.rollout.disaggregation": 3},
            "it is a section; name a key in it",
        ),
    ],
    ids=str,
)
def test_an_override_that_verl_does_not_have_is_one_line(overrides, said):
    with pytest.raises(UserError) as e:
        overridden(overrides)
    assert said in str(e.value)
    assert "\n" not in str(e.value)


def test_spectrum_plan_resolves_it_and_refuses_an_unknown_key(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    text = render(read_preset("qwen3-8b", ROOT / "presets"), "")
    path = tmp_path / "params.yaml"
    monkeypatch.setenv(PARAMS_ENV, str(path))
    path.write_text(
        text.replace(
            "verl_overrides: {}", "verl_overrides: {actor_rollout_ref.actor.fsdp_config.forward_prefetch: true}"
        )
    )
    main(["plan", "--verl-config"])
    said = capsys.readouterr().out
    assert "verl's configuration: resolves" in said
    assert OmegaConf.create(said[said.index("actor_rollout_ref:") : said.index("4 nodes x 8")]).trainer.nnodes == 4
    assert "forward_prefetch: true" in said
    path.write_text(
        text.replace(
            "verl_overrides: {}", "verl_overrides: {actor_rollout_ref.actor.fsdp_config.forward_prefetches: true}"
        )
    )
    with pytest.raises(
        SystemExit, match=r"verl has no key \S+\.forward_prefetches; the nearest are \S+\.forward_prefetch,"
    ):
        main(["plan"])
