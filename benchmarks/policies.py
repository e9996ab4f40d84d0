"""The policies that benchmarks run, as folders: the tiny one of the default preset and SmolLM2-135M.

Knows where they are made.  Knows no benchmark.
"""

import json
from pathlib import Path

from benchmarks.raw import ROOT

TINY = ROOT / "artifacts/tiny/policy/1"
PROMPTS = ROOT / "artifacts/tiny/prompts/train"
SMOLLM2 = ROOT / "artifacts/benchmarks/smollm2-135m"
# What Snakemake makes before a benchmark of the tiny policy runs.
NEEDS = ("artifacts/tiny/policy/1", "artifacts/tiny/prompts/train")


def smollm2() -> Path:
    """SmolLM2-135M-Instruct of the preset laptop, made of the installed package at the first call."""
    if not (SMOLLM2 / "config.json").exists():
        from tokenspectrum.params.policy import GgufPolicy
        from tokenspectrum.params.presets import read_preset
        from tokenspectrum.policy.hub import import_gguf

        policy = read_preset("laptop", ROOT / "presets").data["policy"]
        import_gguf(GgufPolicy.model_validate_json(json.dumps(policy)), SMOLLM2)
    return SMOLLM2


def folder(name: str) -> Path:
    """The folder of the policy `tiny` or `smollm2-135m`."""
    return TINY if name == "tiny" else smollm2()
