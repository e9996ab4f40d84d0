"""The nodes and GPUs that a stage needs from a cluster, by the params.  The site sets memory, time and partitions.

They follow from train.trainer, the engines and `systems`, so a change there need not be repeated in the profile.
The names are those of Snakemake's Slurm plugin.
"""

from collections.abc import Mapping
from typing import Any

# The section whose `engine` a stage samples with.
ENGINES = {
    "sample": "rollouts",
    "signals": "rollouts",
    "evaluate": "evaluate",
    "evaluate_base": "evaluate",
    "evaluate_more": "evaluate",
    "hot_forks": "evaluate",
}

# Those that score given responses on a device of their own.
SCORING = ("tokens", "rescore", "rescore_base", "gradients", "run_gradients")


def cluster_resources(stage: str, params: Mapping[str, Any]) -> dict[str, int | str]:
    """`nodes`, `gres` and what the plugin needs with them; empty for a stage that only uses cores of one node."""
    systems = params.get("systems", {})
    if stage in ("train", "train_more") and params["train"]["trainer"] == "verl":
        verl = systems["verl"]
        return _allocation(verl["device"], verl["nodes"], verl["gpus_per_node"])
    if stage in ENGINES and params[ENGINES[stage]]["engine"] == "vllm":
        vllm = systems["vllm"]
        return _allocation(vllm["device"], 1, vllm["tensor_parallel"] * vllm["shards"])
    if (stage in ENGINES or stage in SCORING) and systems.get("device") == "cuda":
        return _allocation("cuda", 1, 1)
    return {}


def _allocation(device: str, nodes: int, gpus_per_node: int) -> dict[str, int | str]:
    asked: dict[str, int | str] = {"nodes": nodes}
    if nodes > 1:
        # One task for each node; the stage starts them itself.
        asked |= {"mpi": "srun", "tasks": nodes}
    if nodes > 1 or device == "cuda":
        # Else the plugin would ask for a task a GPU, each with the job's cores.
        asked["tasks_per_gpu"] = 0
    if device == "cuda":
        # On one machine they would all take the same GPUs: the local profile runs one of them at a time.
        asked |= {"gres": f"gpu:{gpus_per_node}", "gpu_jobs": 1}
    return asked
