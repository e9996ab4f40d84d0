"""Params for whole stages over the policy of `boxes`, and the stages that sample it, run as the command would.

The policy is base policy BASE: a number that is no seed here, so that whoever takes one for the other finds nothing.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from tokenspectrum.stages import rollouts, sample

torch.set_num_threads(1)
BASE = 5
PARAMS = {
    "sampling": {"temperature": 1.0, "top_p": 0.95, "n": 4, "max_prompt_tokens": 6, "max_response_tokens": 10},
    "reward": {"integer_sources": ["sums"], "overlong": {"buffer": 4, "factor": 1.0}},
    "rollouts": {"engine": "transformers", "prompts": 5, "choose": "hash", "seed": 3, "shards": [1]},
    "tokens": {
        "layers": "all",
        "alignment": "decision",
        "local_window": 3,
        "top_k": 3,
        "fixed_k": 4,
        "support": True,
        "rows": 6,
    },
    "evaluate": {
        "engine": "transformers",
        "samples": 8,
        "temperature": 1.0,
        "top_p": 0.7,
        "max_prompt_tokens": 6,
        "max_response_tokens": 10,
        "steps": ["final"],
        "keep_samples": True,
    },
    "train": {"dtype": "float32"},
    "systems": {"threads": 1, "micro_batch": 8, "generate_batch": 16, "checkpoint_every": 5, "tracker": "none"},
}


def write_params(path: Path, **changes: Mapping) -> Path:
    """params.yaml with `changes` (section -> changed fields) at `path`; JSON is YAML."""
    sections = {name: {**fields, **changes.get(name, {})} for name, fields in PARAMS.items()}
    path.write_text(json.dumps(sections))
    return path


def run_shard(home: Path, samples: Path, shard: int = 1) -> None:
    """The sample stage, on `home`'s prompts and policy: fills `samples/<shard>`."""
    flags = {"prompts": home / "prompts", "policy": home / "policy", "out": samples / str(shard), "shard": shard}
    flags["base"] = BASE
    sample.main([str(word) for flag, value in flags.items() for word in (f"--{flag}", value)])


def run_rollouts(home: Path, out: Path, shards: Sequence[int] = (1,)) -> None:
    """The stages sample, once a shard, and rollouts; the shards lie beside `out`."""
    samples = out.with_name(f"{out.name}-samples")
    for shard in shards:
        run_shard(home, samples, shard)
    flags = {"samples": samples, "prompts": home / "prompts", "policy": home / "policy", "out": out, "base": BASE}
    rollouts.main([str(word) for flag, value in flags.items() for word in (f"--{flag}", value)])
