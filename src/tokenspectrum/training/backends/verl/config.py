"""verl's configuration, made from our params: flat dotted keys and their values.  Knows verl's keys, not its code.

There are three kinds of key.  Our params set some.  The trainer's own work needs others: verl's token mean is the loss
that we define, and there is no critic.  These two kinds cannot be overridden.  The third kind decides only how fast a
run is, and differs between GPUs and CPU trials.  `train.verl_overrides` may change these, and all keys not named here.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.train import TrainParams
from tokenspectrum.systems.params import SystemsParams, VerlSystems
from tokenspectrum.training.backends.verl.keys import check_keys

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from tokenspectrum.training.job import TrainJob

ACTOR, MODEL, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.model", "actor_rollout_ref.rollout"
# Parts of verl that this trainer does not run.  A key there would change nothing.
UNUSED = {
    "algorithm.rollout_correction": "it is ours; see train.rollout_is_threshold",
    "algorithm": "advantages, weights and dynamic sampling are ours; see rules and train.dynamic_sampling",
    "critic": "there is no critic",
    "custom_reward_function": "the reward is ours; see the section reward",
    "data": "prompts and their order are ours; see train.prompts_per_step and sampling",
    "distillation": "nothing is distilled",
    "global_profiler": "verl's own loop is not run",
    "ray_kwargs": "the train stage starts Ray; see systems.verl",
    "reward": "the reward is ours; see the section reward",
    "reward_model": "there is no reward model",
    "sandbox_fusion": "the reward is ours; see the section reward",
    "skip": "verl's own loop is not run",
    "trainer": "verl's own loop is not run",
    "transfer_queue": "batches go through the driver",
    "actor_rollout_ref.ref": "there is no reference policy",
    f"{ROLLOUT}.agent": "there is no agent loop",
    f"{ROLLOUT}.multi_turn": "there is no agent loop",
    f"{ROLLOUT}.val_kwargs": "evaluation is a stage of its own",
}
# Prefixes of keys under which the run would end without what it trained.
LOST = {f"{MODEL}.lora": "adapters are not exported, so the trained policy would be the base policy"}
_VERL_DTYPE = {"float32": "fp32", "bfloat16": "bf16"}


@dataclass(frozen=True)
class VerlFiles:
    """Where verl finds its data and the policy, and where it may leave checkpoints."""

    train_parquet: Path
    val_parquet: Path
    policy: Path
    checkpoints: Path


def verl_config(job: "TrainJob", files: VerlFiles) -> dict[str, Any]:
    """Dotted verl key -> value for `job`, with the overrides.  UserError if an override names a key that is ours."""
    return config_of(job.train, job.sampling, job.systems, job.seed, files, name=f"{job.run}-s{job.seed}")


def config_of(
    train: TrainParams, sampling: SamplingParams, systems: SystemsParams, seed: int, files: VerlFiles, *, name: str
) -> dict[str, Any]:
    """The same configuration from params alone, for a plan."""
    if systems.verl is None:
        raise UserError("systems.verl: null, but train.trainer is verl; docs/params.md has its fields")
    ours = {key: (param, value) for param, key, value in _from_params(train, sampling, systems, systems.verl, seed)}
    fixed = dict(_fixed(files, name, systems.verl))
    speed = _speed(systems, systems.verl, sampling.max_prompt_tokens + sampling.max_response_tokens)
    overrides = dict(_flat(train.verl_overrides))
    for key in overrides:
        if key in ours:
            raise UserError(f"train.verl_overrides: {key} is set by {ours[key][0]}; change that instead")
        if key in fixed:
            raise UserError(f"train.verl_overrides: {key} is set by the trainer itself and must stay {fixed[key]!r}")
        for part, why in LOST.items():
            if key.startswith(part):
                raise UserError(f"train.verl_overrides: {key} cannot be used: {why}")
        for part, why in UNUSED.items():
            if key not in speed and (key == part or key.startswith(f"{part}.")):
                raise UserError(f"train.verl_overrides: {key} would change nothing: {why}")
    values = {key: value for key, (_, value) in ours.items()}
    return values | fixed | speed | overrides


def resolve(config: Mapping[str, Any]) -> "DictConfig":
    """verl's whole configuration: its own defaults, then `config`.  Needs verl installed; imports none of it.

    A key that verl does not have is a UserError that names the nearest ones that it has.
    """
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("verl is not installed here; install the package with its extra cluster, or cluster-cpu")
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(Path(spec.submodule_search_locations[0], "trainer/config")), version_base=None):
        resolved = compose("ppo_trainer")
    check_keys(resolved, config, UNUSED)
    for key, value in config.items():
        OmegaConf.update(resolved, key, value, force_add=True)
    return resolved


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Replace mappings by their entries, so that no value avoids the checks of single keys."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _from_params(
    train: TrainParams, sampling: SamplingParams, systems: SystemsParams, verl: VerlSystems, seed: int
) -> Iterator[tuple[str, str, Any]]:
    """(our param, verl's key, its value); the params that more than one key follows are named with each."""
    longest = sampling.max_prompt_tokens + sampling.max_response_tokens
    prompt, response = "sampling.max_prompt_tokens", "sampling.max_response_tokens"
    yield "train.prompts_per_step", "data.train_batch_size", train.prompts_per_step
    yield prompt, "data.max_prompt_length", sampling.max_prompt_tokens
    yield prompt, f"{ROLLOUT}.prompt_length", sampling.max_prompt_tokens
    yield response, "data.max_response_length", sampling.max_response_tokens
    yield response, f"{ROLLOUT}.response_length", sampling.max_response_tokens
    yield f"{prompt} and {response}", f"{ROLLOUT}.max_model_len", longest
    yield "sampling.temperature", f"{ROLLOUT}.temperature", sampling.temperature
    yield "sampling.top_p", f"{ROLLOUT}.top_p", sampling.top_p
    yield "sampling.n", f"{ROLLOUT}.n", sampling.n
    yield "sampling.n", f"{ACTOR}.rollout_n", sampling.n
    mini_batch = train.prompts_per_step // train.mini_batches
    yield "train.mini_batches", f"{ACTOR}.ppo_mini_batch_size", mini_batch
    yield "train.steps", "trainer.total_training_steps", train.steps
    yield "train.steps", f"{ACTOR}.optim.total_training_steps", train.steps
    # The learning-rate schedule is ours: each update gets its rate with the batch.
    if train.rollout_is_threshold is not None:
        # The driver computes it as verl's would, and it reaches the actor with the advantages (batch.py).
        name, correction = "train.rollout_is_threshold", "algorithm.rollout_correction"
        yield name, f"{correction}.rollout_is", "token"
        yield name, f"{correction}.rollout_is_threshold", train.rollout_is_threshold
    yield "train.learning_rate", f"{ACTOR}.optim.lr", train.learning_rate
    yield "train.warmup_steps", f"{ACTOR}.optim.lr_scheduler_type", "constant"
    yield "train.warmup_steps", f"{ACTOR}.optim.lr_warmup_steps", 0
    yield "train.warmup_steps", f"{ACTOR}.optim.lr_warmup_steps_ratio", 0.0
    yield "train.weight_decay", f"{ACTOR}.optim.weight_decay", train.weight_decay
    yield "train.betas", f"{ACTOR}.optim.betas", list(train.betas)
    yield "train.grad_clip", f"{ACTOR}.optim.clip_grad", train.grad_clip
    yield "train.grad_clip", f"{ACTOR}.grad_clip", train.grad_clip
    yield "train.clip.low", f"{ACTOR}.clip_ratio", train.clip.low
    yield "train.clip.low", f"{ACTOR}.clip_ratio_low", train.clip.low
    yield "train.clip.high", f"{ACTOR}.clip_ratio_high", train.clip.high
    yield "train.clip.dual", f"{ACTOR}.clip_ratio_c", train.clip.dual
    dtype = _VERL_DTYPE[train.dtype]
    yield "train.dtype", f"{ROLLOUT}.dtype", train.dtype
    yield "train.dtype", f"{ACTOR}.fsdp_config.model_dtype", "fp32"
    yield "train.dtype", f"{ACTOR}.fsdp_config.mixed_precision.param_dtype", dtype
    yield "train.dtype", f"{ACTOR}.fsdp_config.mixed_precision.reduce_dtype", "fp32"
    yield "train.dtype", f"{ACTOR}.fsdp_config.mixed_precision.buffer_dtype", "fp32"
    for key in ("data.seed", f"{ACTOR}.data_loader_seed", f"{ACTOR}.fsdp_config.seed", f"{ROLLOUT}.seed"):
        yield "seeds", key, seed
    yield "systems.verl.device", "trainer.device", verl.device
    yield "systems.verl.nodes", "trainer.nnodes", verl.nodes
    yield "systems.verl.gpus_per_node", "trainer.n_gpus_per_node", verl.gpus_per_node
    yield "systems.verl.tensor_parallel", f"{ROLLOUT}.tensor_model_parallel_size", verl.tensor_parallel
    yield "systems.verl.gpu_memory_utilization", f"{ROLLOUT}.gpu_memory_utilization", verl.gpu_memory_utilization
    for key in (f"{ACTOR}.ppo_max_token_len_per_gpu", f"{ROLLOUT}.log_prob_max_token_len_per_gpu"):
        yield "systems.verl.max_tokens_per_gpu", key, verl.max_tokens_per_gpu
    yield (
        "systems.verl.gradient_checkpointing",
        f"{MODEL}.enable_gradient_checkpointing",
        verl.gradient_checkpointing,
    )
    yield "systems.verl.offload", f"{ACTOR}.fsdp_config.param_offload", verl.offload
    yield "systems.verl.offload", f"{ACTOR}.fsdp_config.optimizer_offload", verl.offload
    yield "systems.generate_batch", f"{ROLLOUT}.max_num_seqs", systems.generate_batch


def _fixed(files: VerlFiles, name: str, verl: VerlSystems) -> Iterator[tuple[str, Any]]:
    """The keys that the trainer's own work needs."""
    yield "data.train_files", str(files.train_parquet)
    yield "data.val_files", str(files.val_parquet)
    yield "data.truncation", "left"
    yield f"{MODEL}.path", str(files.policy)
    yield f"{MODEL}.trust_remote_code", False
    yield f"{MODEL}.external_lib", "tokenspectrum.training.backends.verl.engine"
    yield f"{MODEL}.use_remove_padding", verl.device == "cuda"
    # Advantages come ready from our own estimator; grpo is the name under which verl builds no critic.
    yield "algorithm.adv_estimator", "grpo"
    yield "algorithm.use_kl_in_reward", False
    yield "algorithm.filter_groups.enable", False
    yield f"{ACTOR}.strategy", "fsdp2"
    # If a sequence were split over GPUs, its attention rows would be split too.
    yield f"{ACTOR}.ulysses_sequence_parallel_size", 1
    yield f"{ACTOR}.fsdp_config.ulysses_sequence_parallel_size", 1
    yield f"{ACTOR}.use_dynamic_bsz", True
    yield f"{ROLLOUT}.log_prob_use_dynamic_bsz", True
    yield f"{ACTOR}.ppo_epochs", 1
    yield f"{ACTOR}.shuffle", False
    yield f"{ACTOR}.policy_loss.loss_mode", "vanilla"
    yield f"{ACTOR}.loss_agg_mode", "token-mean"
    yield f"{ACTOR}.use_kl_loss", False
    yield f"{ACTOR}.entropy_coeff", 0
    yield f"{ROLLOUT}.name", "vllm"
    yield f"{ROLLOUT}.mode", "async"
    yield f"{ROLLOUT}.top_k", -1
    yield f"{ROLLOUT}.do_sample", True
    # rollout_logprob is defined over the full vocabulary, before top-p.
    yield f"{ROLLOUT}.calculate_log_probs", True
    yield f"{ROLLOUT}.logprobs_mode", "raw_logprobs"
    if verl.device == "cpu":
        # After a part of a prompt vLLM samples a token, drops it, and sets the random generator back.  A CPU's
        # generator cannot be set back.
        yield f"{ROLLOUT}.enable_chunked_prefill", False
    yield "trainer.use_v1", True
    yield "trainer.v1.trainer_mode", "sync"
    # Evaluation is a stage of its own, and we write checkpoints and metrics ourselves.
    yield "trainer.val_before_train", False
    yield "trainer.val_only", False
    yield "trainer.test_freq", -1
    yield "trainer.save_freq", -1
    yield "trainer.resume_mode", "disable"
    yield "trainer.default_local_dir", str(files.checkpoints)
    yield "trainer.total_epochs", 1
    yield "trainer.logger", ["console"]
    yield "trainer.project_name", "tokenspectrum"
    yield "trainer.experiment_name", name


def _speed(systems: SystemsParams, verl: VerlSystems, longest: int) -> dict[str, Any]:
    """Settings that may be overridden, for GPUs or for a trial without any."""
    if verl.device == "cuda":
        return {
            f"{ROLLOUT}.max_num_batched_tokens": max(8192, systems.generate_batch),
            f"{MODEL}.override_config.attn_implementation": "flash_attention_2",
            f"{ACTOR}.entropy_from_logits_with_chunking": True,
        }
    return {
        f"{MODEL}.override_config.attn_implementation": "sdpa",
        f"{ACTOR}.use_torch_compile": False,
        f"{ACTOR}.fsdp_config.use_torch_compile": False,
        # vLLM on a CPU compiles nothing, keeps its cache, and takes small buckets of weights.
        f"{ROLLOUT}.enforce_eager": True,
        f"{ROLLOUT}.free_cache_engine": False,
        f"{ROLLOUT}.enable_sleep_mode": False,
        # A prompt is read in one piece (see above), so the longest prompt must fit into one pass.
        f"{ROLLOUT}.max_num_batched_tokens": max(2048, longest, systems.generate_batch),
        f"{ROLLOUT}.checkpoint_engine.update_weights_bucket_megabytes": 64,
        "reward.num_workers": 1,
    }
