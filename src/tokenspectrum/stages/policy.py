"""Stage `policy`: make the base policy and check that it can be trained on.

Out: the policy folder (Hugging Face, safetensors), the table `vocab`, and a report of what it is and how accurate.
A policy outside the ranges in params leaves no output at all.
"""

import argparse
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.policy import Check, GgufPolicy, HubPolicy, PolicyParams, TinyPolicy
from tokenspectrum.policy.chat import encode_prompt
from tokenspectrum.policy.check import check_policy, mean_and_error, require_benchmarks
from tokenspectrum.policy.hub import import_checkpoint, import_gguf
from tokenspectrum.policy.load import load_policy, load_tokenizer
from tokenspectrum.policy.positions import positions_of
from tokenspectrum.policy.save import save_policy
from tokenspectrum.policy.text import response_texts
from tokenspectrum.policy.tiny import train_tiny
from tokenspectrum.policy.tokenizer import build_tokenizer
from tokenspectrum.policy.vocab import write_vocab
from tokenspectrum.reward.boxed import verify
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.rollout.types import Prompt, Sampling
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.progress import Progress
from tokenspectrum.tables.prompts import SCHEMA as PROMPTS
from tokenspectrum.tokenlog.reader import check_file, read_file, read_manifest
from tokenspectrum.tokenlog.writer import write_json

log = logging.getLogger(__name__)

Row = dict[str, Any]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmarks", type=Path, required=True, help="folder of benchmark problems, to be held out")
    parser.add_argument("--base", type=int, required=True, help="which of bases: the seed of a tiny policy")
    parser.add_argument("--out", type=Path, required=True, help="policy folder to write")
    parser.add_argument("--vocab", type=Path, required=True, help="folder of the table vocab to write")
    parser.add_argument("--report", type=Path, required=True, help="JSON report to write")
    args = parser.parse_args(argv)
    params: TinyPolicy | HubPolicy | GgufPolicy = read_sections(policy=PolicyParams)[0].root
    benchmarks = read_benchmarks(args.benchmarks)
    if params.check is not None:
        require_benchmarks(params.check, benchmarks)
    # Always of one name, so that the next start removes what a killed one has left.  No two run at once.
    work = args.out.parent / f".policy-stage.{args.base}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        if isinstance(params, TinyPolicy):
            report = make_tiny(params, args.base, benchmarks, work / "policy")
        elif isinstance(params, GgufPolicy):
            report = import_gguf(params, work / "policy")
        else:
            report = {"source": params.name, "revision": params.revision} | import_checkpoint(params, work / "policy")
        report |= {"kind": params.kind, "policy": params.name, "base": args.base, "benchmarks": None}
        if params.check is not None:
            accuracies = benchmark_accuracies(params.check, work / "policy", benchmarks)
            check_policy(params.check, accuracies)
            report["benchmarks"] = {n: {"mean": round(m, 6), "error": round(e, 6)} for n, (m, e) in accuracies.items()}
        write_vocab(work / "vocab", load_tokenizer(work / "policy"), params.name)
        for made, wanted in ((work / "policy", args.out), (work / "vocab", args.vocab)):
            shutil.rmtree(wanted, ignore_errors=True)
            wanted.parent.mkdir(parents=True, exist_ok=True)
            made.rename(wanted)
        write_json(args.report, report)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def read_benchmarks(root: Path) -> dict[str, list[Row]]:
    """Rows of the table prompts by benchmark, in the manifest's order of names."""
    manifest = read_manifest(root)
    names = [name for name in sorted(manifest["files"]) if name.endswith(".parquet")]
    if not names:
        raise UserError(f"{root}: no benchmark files; run the prompts stage again")
    return {Path(name).stem: read_file(check_file(root, name, manifest), PROMPTS).to_pylist() for name in names}


def make_tiny(params: TinyPolicy, seed: int, benchmarks: dict[str, list[Row]], out: Path) -> dict[str, Any]:
    """Train the tiny policy without the benchmarks' problems, write its folder, and return its part of the report."""
    held_out = {row["extra_info"]["problem"] for rows in benchmarks.values() for row in rows}
    tokenizer = build_tokenizer()
    losses: list[float] = []
    with Progress("policy", total=params.training.steps) as progress:

        def on_step(done: int, loss: float) -> None:
            losses.append(loss)
            progress.update(done, loss=loss)

        model = train_tiny(params, seed, tokenizer, held_out, on_step)
    save_policy(model, tokenizer, out)
    return {
        "layers": params.num_layers,
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocab_size": len(tokenizer),
        "loss": round(float(np.mean(losses[-100:])), 6),
        "held_out": len(held_out),
    }


def benchmark_accuracies(
    check: Check, policy: Path, benchmarks: dict[str, list[Row]]
) -> dict[str, tuple[float, float]]:
    """For each benchmark of the check, mean@k of the written policy and its standard error over problems."""
    model, tokenizer = load_policy(policy)
    engine = TransformersEngine(model, tokenizer)
    sampling = Sampling(check.temperature, check.top_p, check.max_response_tokens, check.samples)
    limit = positions_of(model.config.get_text_config())
    room = sys.maxsize if limit is None else limit - check.max_response_tokens
    if room < 1:
        raise UserError(
            f"policy.check.max_response_tokens: {check.max_response_tokens} leaves no room for a prompt, since the "
            f"policy has {limit} positions; lower it"
        )
    accuracies = {}
    for name in check.benchmarks:
        rows = benchmarks[name]
        prompts = [Prompt(row["prompt_id"], *encode_prompt(tokenizer, row["prompt"], room)) for row in rows]
        responses = engine.generate(prompts, sampling, seed=0, step=0, domain="policy-check")
        texts = response_texts(tokenizer, [r.token_ids for r in responses])
        asked = [row for row in rows for _ in range(check.samples)]
        correct_N = [
            verify(text, row["reward_model"]["ground_truth"], row["data_source"]).correct
            for text, row in zip(texts, asked, strict=True)
        ]
        accuracies[name] = mean_and_error(np.reshape(correct_N, (len(rows), check.samples)).mean(1))
        log.info("%s: mean@%d %.3f, standard error %.3f", name, check.samples, *accuracies[name])
    return accuracies


if __name__ == "__main__":
    run(main)
