"""Does this machine have what the planned stages need?  Asked before anything runs.

Knows params, names of stages and names of packages.  On a cluster the GPUs are the nodes' and are not looked for here.
"""

import importlib.util
from collections.abc import Collection, Iterator
from typing import Any

from tokenspectrum.systems.resources import ENGINES, SCORING

INSTALL = "pip install 'tokenspectrum[cluster]', or [cluster-cpu] without a GPU (docs/verl.md)"


def _lacking(*packages: str) -> list[str]:
    return [name for name in packages if importlib.util.find_spec(name) is None]


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def unfit(params: Any, stages: Collection[str], here: bool) -> Iterator[str]:
    """One line for everything that a stage in `stages` needs and that is missing; `here`: they run on this machine."""
    systems, devices = params.systems, {}
    sampling = sorted({section for stage, section in ENGINES.items() if stage in stages})
    if {"train", "train_more"} & set(stages) and params.train.trainer == "verl":
        if lacking := _lacking("verl", "ray", "vllm"):
            yield f"train.trainer: verl, but there is no {' and no '.join(lacking)} installed here; {INSTALL}"
        devices["systems.verl.device"] = systems.verl.device
    for section in sampling:
        if getattr(params, section).engine == "vllm":
            if _lacking("vllm"):
                yield f"{section}.engine: vllm, but it is not installed here; {INSTALL}"
            devices["systems.vllm.device"] = systems.vllm.device
        else:
            devices["systems.device"] = systems.device
    if set(SCORING) & set(stages):
        devices["systems.device"] = systems.device
    wanted = [field for field, device in devices.items() if device == "cuda"]
    if here and wanted and not _has_gpu():
        for field in wanted:
            yield f"{field}: cuda, but torch finds no GPU here; set it to cpu, or run with --profile slurm"
