"""CPU seconds and memory of every weighting rule on one rollout batch of 8.4 million tokens, on one core.

    python -m benchmarks.weighting [--tokens 8_400_000] [--only anchor low2high] [--out benchmarks/weighting.csv]

The batch is that of the ANCHOR paper's set-up in size: 4,096 responses, here of 20 to 4,080 tokens.  Scores are random
float32 numbers, many of them equal, as entropies of a trained policy are.  Every kind of the registry is measured, with
every scope that it has, and a control on one rule of its family.  What is timed is `apply`, the call that the weights
stage and both trainers make.  Each rule runs in a process of its own, forked from the one that holds the scores, so its
peak is its own: memory is the largest resident set less that at the start.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from benchmarks.raw import save
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.registry import RULES, make_rule
from tokenspectrum.weighting.rule import Rule
from tokenspectrum.weighting.rules._control import Control

RESPONSES, MINIBATCHES, TYPES = 4096, 16, 6
LAYER = 1


def rules() -> Iterator[tuple[str, Rule]]:
    """A name, and every kind of the registry with every scope that it has."""
    for kind, model in RULES.items():
        fields = model.model_fields
        if issubclass(model, Control):
            first = get_args(fields["of"].annotation)[0]
            of = get_args(first.model_fields["kind"].annotation)[0]
            yield f"{kind} of {of}", make_rule(kind=kind, matches=of, **options(first))
        elif "scope" in fields:
            for scope in get_args(fields["scope"].annotation):
                yield f"{kind}, {scope}", make_rule(kind=kind, **options(model, scope=scope))
        else:
            yield kind, make_rule(kind=kind, **options(model))


def options(model: type[Rule], **chosen: str) -> dict:
    """What rule.json holds for a model's defaults, but for its kind."""
    kind = get_args(model.model_fields["kind"].annotation)[0]
    layer = {"layer": LAYER} if "layer" in model.model_fields else {}
    record = model.model_validate({"kind": kind, **layer, **chosen}).record()
    return {name: value for name, value in record.items() if name != "kind"}


def make_batch(n_tokens: int, rng: np.random.Generator) -> TokenBatch:
    """A rollout batch with every number that a rule may look at."""
    weight_R = rng.uniform(20, 4080, RESPONSES)
    lengths_R = np.maximum(1, (weight_R * n_tokens / weight_R.sum()).astype(np.int64))
    n = int(lengths_R.sum())
    entropy_N = np.round(rng.exponential(0.4, n), 4).astype(np.float32)
    scores = {
        "entropy_norm": torch.from_numpy(rng.random(n, np.float32)),
        "predictive_entropy": torch.from_numpy(entropy_N),
        "loss_magnitude": torch.from_numpy(np.repeat(np.abs(rng.normal(size=RESPONSES)).astype(np.float32), lengths_R)),
    }
    return TokenBatch(
        lengths_R=torch.from_numpy(lengths_R),
        seed=1,
        step=16,
        prompt_ids=[f"prompt-{i // 8}" for i in range(RESPONSES)],
        samples_R=torch.arange(RESPONSES) % 8,
        minibatch_R=torch.arange(RESPONSES) * MINIBATCHES // RESPONSES,
        scores=scores,
        token_type_N=torch.from_numpy(rng.integers(0, TYPES, n)),
    )


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(rule: Rule, batch: TokenBatch, results: multiprocessing.Queue) -> None:
    """CPU seconds, bytes above the start, and the share of tokens with a weight, of one rule."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    before, started = pages * resource.getpagesize(), time.process_time()
    found = apply(rule, batch)
    results.put((time.process_time() - started, peak_bytes() - before, found.kept_fraction))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=8_400_000)
    parser.add_argument("--only", nargs="*", help="kinds; default: all")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    batch = make_batch(args.tokens, np.random.default_rng(0))
    context = multiprocessing.get_context("fork")
    rows = []
    for name, rule in rules():
        if args.only and rule.kind not in args.only:
            continue
        results = context.Queue()
        child = context.Process(target=measured, args=(rule, batch, results))
        child.start()
        seconds, extra, kept = results.get()
        child.join()
        whole = getattr(rule, "scope", "response") != "response" or rule.kind == "covariate-matched"
        rows.append(line(name, whole, args.tokens, seconds, extra / 1e6, kept))
        print(f"{name}: {seconds:.2f} s, {extra / 1e6:.0f} MB, kept {kept:.4f}", file=sys.stderr, flush=True)
    each = list(rows)
    for whole in (False, True):
        if of := [row for row in each if row["whole_batch"] == whole]:
            rows.append(max(of, key=lambda row: row["cpu_seconds"]) | {"rule": "the slowest"})
    rows.append(max(each, key=lambda row: row["extra_mb"]) | {"rule": "the largest"})
    save(args.out, rows)


def line(name: str, whole: bool, n_tokens: int, seconds: float, megabytes: float, kept: float) -> dict:
    """A line of the CSV; `whole` says whether the rule ranks over more than a response."""
    return {
        "rule": name,
        "whole_batch": whole,
        "tokens_asked": n_tokens,
        "cpu_seconds": round(seconds, 2),
        "extra_mb": round(megabytes),
        "kept_fraction": round(kept, 4),
    }


if __name__ == "__main__":
    main()
