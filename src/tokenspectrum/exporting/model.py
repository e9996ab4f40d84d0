"""A trained policy as a model folder: the checkpoint's own files, and a card that says how it was trained.

Knows where a run leaves its policies, its rule and its scores.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tokenspectrum.errors import UserError
from tokenspectrum.exporting.folder import all_or_nothing
from tokenspectrum.tokenlog.writer import atomic_path


def write_model(artifacts: Path, run: str, seed: int, step: int | None, folder: Path, about: Mapping[str, str]) -> Path:
    """Copy the policy of `run` under `seed` (its last checkpoint, or that of `step`) and write its card; the source."""
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty; give a new folder")
    root = artifacts / f"train/{run}-s{seed}/policy"
    kept = {int(path.name.partition("=")[2]): path for path in root.glob("step=*")}
    if not kept:
        raise UserError(f"{root}: no trained policy; `snakemake --profile local {root}` trains it")
    chosen = max(kept) if step is None else step
    if chosen not in kept:
        raise UserError(f"--step {step}: {root} has {', '.join(map(str, sorted(kept)))}")
    with all_or_nothing(folder):
        for path in sorted(kept[chosen].iterdir()):
            shutil.copy2(path, folder / path.name)
        with atomic_path(folder / "README.md") as temporary:
            temporary.write_text(_card(artifacts, run, seed, chosen, about), encoding="utf-8")
    return kept[chosen]


def _card(artifacts: Path, run: str, seed: int, step: int, about: Mapping[str, str]) -> str:
    scores = _scores(artifacts / f"evaluate/{run}-s{seed}/summary.json", step)
    head: dict[str, Any] = {
        "license": about["license"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["tokenspectrum", "rlvr", "dapo"],
    }
    if about["hub"]:
        head["base_model"] = about["hub"]
    blocks = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {about['policy']}, trained by `{run}`",
        f"DAPO under the weighting `{run}`, seed {seed}, step {step}, by Tokenspectrum (preset `{about['preset']}`).",
        "The weighting, as params name it:",
        f"```json\n{about['rule']}\n```",
        about["made"],
    ]
    if scores:
        lines = ["| benchmark | mean@k, percent | problems |", "|---|---:|---:|"]
        lines += [f"| {n} | {100 * f['mean_at_k']:.2f} | {f['problems']} |" for n, f in scores.items()]
        blocks += ["## Evaluation", "\n".join(lines), about["benchmarks"]]
    return "\n\n".join(blocks) + "\n"


def _scores(path: Path, step: int) -> dict[str, Any]:
    """The summary of the evaluation, if this step was evaluated."""
    try:
        return json.loads(path.read_text())["steps"].get(str(step), {})
    except (OSError, ValueError, KeyError, AttributeError):
        return {}
