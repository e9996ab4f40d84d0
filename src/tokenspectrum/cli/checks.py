"""What `spectrum doctor` checks beside the bridge's own checks: the libraries of the stages, a GPU, the hub.

Knows what Tokenspectrum's stages import and where they get models and data.  Knows no Slurm and no DVC.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snakedvc.site import checks
from snakedvc.site.checks import Check, run

LIBRARIES = ("torch", "transformers", "duckdb", "pyarrow", "pydantic", "snakemake")


def python() -> Iterator[Check]:
    """The versions of this environment, and whether the stages' libraries can be imported."""
    yield from checks.python("tokenspectrum", LIBRARIES, install="make setup")


def node() -> str:
    """What a node of a cluster has for stages, in words; an error of an import if it lacks something."""
    import torch

    import tokenspectrum.stages  # noqa: F401

    return f"torch {torch.__version__}, {torch.cuda.device_count()} GPUs"


def gpu() -> Check:
    """A GPU that CUDA sees."""
    done = run(sys.executable, "-c", "import torch; print(torch.cuda.device_count())", seconds=180)
    if done.returncode == 0 and done.stdout.strip() not in ("", "0"):
        return Check("gpu", "ok", f"{done.stdout.strip()} seen by torch")
    return Check("gpu", "fail", "torch sees none: check nvidia-smi, the driver, and that torch is a CUDA build")


def _asks_the_hub(node: Any) -> bool:
    if isinstance(node, Mapping):
        if node.get("kind") == "hub":
            # A policy's source may be a folder; then nothing is asked.
            return not Path(str(node.get("source", ""))).is_dir()
        return any(map(_asks_the_hub, node.values()))
    return isinstance(node, list) and any(map(_asks_the_hub, node))


def hub(params: Mapping[str, Any]) -> Check:
    """The Hugging Face hub answers, if params take anything from it and offline mode is not on."""
    from huggingface_hub import constants

    if not (_asks_the_hub(params.get("policy")) or _asks_the_hub(params.get("prompts"))):
        return Check("hub", "ok", "not needed: params take nothing from it")
    if constants.HF_HUB_OFFLINE:
        return Check("hub", "ok", f"offline mode: models and data are taken from {constants.HF_HUB_CACHE}")
    import httpx

    try:
        httpx.head(os.environ.get("HF_ENDPOINT", constants.ENDPOINT), timeout=10)
    except httpx.HTTPError as e:
        what = f"{constants.ENDPOINT} does not answer ({type(e).__name__}): run where it does, or fetch first and set"
        return Check("hub", "fail", f"{what} HF_HUB_OFFLINE=1")
    return Check("hub", "ok", f"{constants.ENDPOINT} answers")
