"""The files that params name, by the stage that reads them.  They are its deps, wherever they lie.

These are files of this machine, and the CSVs of results that another result reads (results/asked.py).

The bridge asks (`named-files` in pyproject.toml) whenever dvc.yaml is read, so params may not be checked yet: what is
no text is left for the check.  Reads no content.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenspectrum.policy.files import CONFIGS, INDEX, TOKENIZER
from tokenspectrum.results.asked import asked_files


def named_files(stage: str, params: Mapping[str, Any]) -> list[str]:
    """Paths of the files that the params of `stage` name, sorted: relative ones from the project's root."""
    name, found = _READ_BY.get(stage, (stage, None))
    section = params.get(name)
    if found is None:
        return asked_files(stage, params)
    return sorted(set(found(section))) if isinstance(section, Mapping) else []


def _problem_files(prompts: Mapping[str, Any]) -> Iterator[str]:
    folder = prompts.get("folder")
    lists = [prompts.get(name) for name in ("train", "benchmarks")]
    for dataset in (one for found in lists if isinstance(found, list) for one in found):
        source = dataset.get("source") if isinstance(dataset, Mapping) else None
        if isinstance(source, Mapping) and source.get("kind") == "file":
            path = source.get("path")
            if isinstance(path, str) and isinstance(folder, str):
                yield Path(folder, path).as_posix()  # an absolute path stands for itself


def _checkpoint_files(policy: Mapping[str, Any]) -> Iterator[str]:
    """What the policy stage reads of a folder; the folder itself where it holds none of that."""
    source = policy.get("source")
    if policy.get("kind") != "hub" or not isinstance(source, str) or not source.startswith(("/", ".")):
        return
    patterns = (*CONFIGS, INDEX, "*.safetensors", *TOKENIZER)
    there = [p for pattern in patterns for p in Path(source).glob(pattern)] if os.path.isdir(source) else []
    yield from [p.as_posix() for p in there if p.is_file()] or [Path(source).as_posix()]


def _given_file(rollouts: Mapping[str, Any]) -> Iterator[str]:
    """Responses that were sampled elsewhere."""
    given = rollouts.get("given")
    path = given.get("path") if isinstance(given, Mapping) else None
    if isinstance(path, str):
        yield path


# Stage -> the section that it reads, and the files that this names.
_READ_BY = {
    "prompts": ("prompts", _problem_files),
    "policy": ("policy", _checkpoint_files),
    "sample": ("rollouts", _given_file),
    "rollouts": ("rollouts", _given_file),
}
