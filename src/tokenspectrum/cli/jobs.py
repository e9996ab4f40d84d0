"""What a job of each stage asks for: memory and time, nodes and GPUs.

Memory and time are in workflow/resources.yaml, those of a result in its declaration.  Nodes and GPUs follow from the
params.  Knows neither Slurm nor what a stage does.
"""

from functools import cache
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import params_path
from tokenspectrum.params.yaml_file import load_yaml
from tokenspectrum.results.discover import results
from tokenspectrum.systems.resources import cluster_resources

RESOURCES = Path("workflow/resources.yaml")
# Stages whose work systems.processes share, and the param that must have such a value for that, if any.
SHARED = {
    "tokens": None,
    "rescore": None,
    "rescore_base": None,
    "gradients": None,
    "run_gradients": None,
    "train": ("train", "trainer", "local"),
    "train_more": ("train", "trainer", "local"),
    "sample": ("rollouts", "engine", "transformers"),
    "evaluate": ("evaluate", "engine", "transformers"),
    "evaluate_more": ("evaluate", "engine", "transformers"),
    "evaluate_base": ("evaluate", "engine", "transformers"),
    "signals": ("rollouts", "engine", "transformers"),
    "hot_forks": ("evaluate", "engine", "transformers"),
}
CONDA = Path("workflow/envs/stages.yaml")


@cache
def _files() -> tuple[dict[str, Any], dict[str, Any]]:
    return load_yaml(RESOURCES), load_yaml(params_path())


def needs(stage: str) -> dict[str, Any]:
    """Snakemake's resources of a job of `stage`, with `threads`, and `local`, `priority` where they are set."""
    table, params = _files()
    declared = results().get(stage)
    if stage not in table and declared is None:
        raise UserError(f"{RESOURCES}: no entry {stage}; say what its jobs take, such as {{mem_mb: 2000, runtime: 30}}")
    own = {**declared.resources, "local": declared.local} if declared else {}
    own |= table.get(stage, {})
    if stage == "policy" and params["policy"]["kind"] == "hub":
        own["local"] = True
    # One thread a stage unless `systems` says otherwise: two stages of one thread beat one of two.
    systems = params.get("systems", {})
    processes = systems.get("processes", 1) if _is_shared(stage, params) else 1
    return (
        {"threads": systems.get("threads", 1) * processes, "conda": str(CONDA.absolute())}
        | cluster_resources(stage, params)
        | own
    )


def _is_shared(stage: str, params: dict[str, Any]) -> bool:
    if (wanted := SHARED.get(stage)) is None:
        return stage in SHARED
    section, name, value = wanted
    return params[section][name] == value
