"""What a stage asks of a cluster because of the params: nodes and GPUs.  Memory, time and partitions are the site's.

 Follows train.trainer, the engines and `systems`, so that a change of those is not made a second time in the profile.
Names are those of Snakemake's Slurm plugin.
"""

from collections.abc import Mapping
from typing import Any

# The section whose `engine` a stage samples with.
ENGINES = {"sample": "rollouts", "evaluate": "evaluate", "evaluate_base": "evaluate"}


def cluster_resources(stage: str, params: Mapping[str, Any]) -> dict[str, int | str]:
    """`nodes`, `gres` and what the plugin needs besides them; empty for a stage that takes cores of one node."""
    systems = params.get("systems", {})
    if stage == "train" and params["train"]["trainer"] == "verl":
        verl = systems["verl"]
        return _allocation(verl["device"], verl["nodes"], verl["gpus_per_node"])
    if stage in ENGINES and params[ENGINES[stage]]["engine"] == "vllm":
        vllm = systems["vllm"]
        return _allocation(vllm["device"], 1, vllm["tensor_parallel"] * vllm["shards"])
    if (stage in ENGINES or stage == "tokens") and systems.get("device") == "cuda":
        return _allocation("cuda", 1, 1)
    return {}


def _allocation(device: str, nodes: int, gpus_per_node: int) -> dict[str, int | str]:
    asked: dict[str, int | str] = {"nodes": nodes}
    if nodes > 1:
        # One task a node; the stage starts them itself.  tasks_per_gpu: else the plugin asks for `tasks` per GPU too.
        asked |= {"mpi": "srun", "tasks": nodes, "tasks_per_gpu": 0}
    if device == "cuda":
        asked["gres"] = f"gpu:{gpus_per_node}"
    return asked
