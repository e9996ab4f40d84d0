"""Every name of verl that the trainer uses.  Nothing else imports verl, so for a new version only this file changes.

verl promises no interface here.  PINNED is the version that has these names.  `check_pins` compares what we call,
override or read with what is installed.  docs/verl.md ("Upgrading verl") says how to move to another version.
"""

import importlib.metadata
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from verl.checkpoint_engine import CheckpointEngineManager
from verl.experimental.reward_loop import RewardLoopManager
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
from verl.protocol import DataProto
from verl.single_controller.base.decorator import Dispatch, register
from verl.trainer.constants_ppo import get_ppo_ray_runtime_env
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils
from verl.utils.config import validate_config
from verl.utils.device import get_device_name
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead
from verl.workers.engine_workers import ActorRolloutRefWorker, TrainingWorker
from verl.workers.rollout.llm_server import LLMServerClient, LLMServerManager

from tokenspectrum.errors import UserError

PINNED = "0.9.1"
# The engine's place in verl's registry; the environment variable makes the workers look there.
VENDOR, VENDOR_ENV = "tokenspectrum", "VERL_ENGINE_VENDOR"

__all__ = [
    "ActorRolloutRefWorker",
    "DataProto",
    "Dispatch",
    "EngineRegistry",
    "FSDPEngineWithLMHead",
    "LLMServerClient",
    "PPOTrainerSync",
    "RewardManagerBase",
    "get_device_name",
    "register",
    "tensordict_utils",
]

# The parameters, in order, of everything that we call or override.
SIGNATURES: Mapping[Callable, tuple[str, ...]] = {
    FSDPEngineWithLMHead.forward_step: ("self", "micro_batch", "loss_function", "forward_only"),
    FSDPEngineWithLMHead.prepare_model_outputs: (
        "self",
        "output",
        "output_args",
        "micro_batch",
        "logits_processor_func",
    ),
    FSDPEngineWithLMHead.train_batch: ("self", "data", "loss_function"),
    FSDPEngineWithLMHead.get_per_tensor_param: ("self", "layered_summon", "base_sync_done", "kwargs"),
    ActorRolloutRefWorker.compute_log_prob: ("self", "data"),
    ActorRolloutRefWorker.update_actor: ("self", "data"),
    ActorRolloutRefWorker.save_checkpoint: ("self", "local_path", "hdfs_path", "global_step", "max_ckpt_to_keep"),
    ActorRolloutRefWorker.load_checkpoint: ("self", "local_path", "hdfs_path", "del_local_after_load"),
    TrainingWorker.train_mini_batch: ("self", "data"),
    TrainingWorker.infer_batch: ("self", "data"),
    PPOTrainerSync.init: ("self",),
    PPOTrainerSync._build_replay_buffer: ("self",),
    PPOTrainerSync._init_tokenizer: ("self",),
    PPOTrainerSync._init_dataloader: ("self",),
    PPOTrainerSync._init_resource_pool_mgr: ("self",),
    PPOTrainerSync._load_checkpoint: ("self",),
    PPOTrainerSync.on_init_end: ("self",),
    CheckpointEngineManager.update_weights: ("self", "global_steps"),
    CheckpointEngineManager.sleep_replicas: ("self",),
    RewardLoopManager.compute_rm_score: ("self", "data"),
    get_device_name: (),
    LLMServerManager.get_client: ("self", "client_cls", "kwargs"),
    LLMServerClient.generate: (
        "self",
        "request_id",
        "prompt_ids",
        "sampling_params",
        "image_data",
        "video_data",
        "audio_data",
        "mm_processor_kwargs",
        "kwargs",
    ),
    RewardManagerBase.run_single: ("self", "data"),
    tensordict_utils.get_tensordict: ("tensor_dict", "non_tensor_dict"),
    tensordict_utils.get_non_tensor_data: ("data", "key", "default"),
    EngineRegistry.register: ("model_type", "backend", "device", "vendor"),
}


def check_pins(signatures: Mapping[Callable, tuple[str, ...]] = SIGNATURES, version: str | None = None) -> None:
    """Raise UserError if the installed verl is not the one for which this package was written."""
    found = version or importlib.metadata.version("verl")
    if found != PINNED:
        raise UserError(f"verl {found} is installed, but the trainer is written for {PINNED}; {_HOW}")
    for function, expected in signatures.items():
        actual = tuple(inspect.signature(function).parameters)
        if actual != expected:
            raise UserError(
                f"verl's {getattr(function, '__qualname__', function)} takes {actual}, not {expected}; {_HOW}"
            )


def validate(config: Any) -> None:
    """Run verl's own checks of its configuration.  What they find becomes a UserError."""
    try:
        validate_config(
            config=config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config)
        )
    except (AssertionError, ValueError) as e:
        raise UserError(f"verl refuses the configuration: {str(e).splitlines()[0]}") from None


def ray_environment() -> dict[str, str]:
    """Environment variables that verl needs in every process of its cluster."""
    return dict(get_ppo_ray_runtime_env()["env_vars"])


def non_tensor(data: Any, key: str) -> Any:
    """The value of `key` beside the tensors of a batch; None if there is none."""
    return tensordict_utils.get_non_tensor_data(data, key, None)


_HOW = "install the pinned version (pip install .[cluster]), or see docs/verl.md, Upgrading verl"
