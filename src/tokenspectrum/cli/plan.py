"""`spectrum plan`: what a run would need, before any GPU is requested.  Other modules do the arithmetic.

Resolves verl's whole configuration where verl is installed, checks that GPUs divide heads and batches, and prints the
memory of a GPU, the volume of logs and checkpoints and, given the seconds of a step, GPU-hours.  Exit 1 with one line
if it cannot fit.
"""

import argparse
import csv
import importlib.util
import math
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tokenspectrum.cli.prices import tables as price_tables
from tokenspectrum.errors import UserError
from tokenspectrum.params.evaluate import EvaluateParams
from tokenspectrum.params.policy import HubShape
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.root import Params, load_params
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.policy.config import read_config
from tokenspectrum.policy.shape import shape_of, weights
from tokenspectrum.systems import memory
from tokenspectrum.systems.volume import (
    checkpoint_bytes,
    driver_bytes,
    log_rows,
    policy_bytes,
    policy_width,
    sample_tokens,
)
from tokenspectrum.tables import attention, tokens
from tokenspectrum.tokenlog.reader import read_manifest
from tokenspectrum.tokenlog.writer import MANIFEST
from tokenspectrum.training.backends.verl.config import VerlFiles, config_of, resolve

MEASURED = Path("benchmarks/trainer.csv")
# What benchmarks/trainer.py allows a row of these tables to take.
MOST_BYTES = {"tokens": 16.0, "attention": 20.0}
# Of a token of an evaluation sample, its text included: the tiny preset's probe written as that table, and at most, an
# id and a log-probability of 4 bytes each and a text of 4.
EVALUATED_BYTES = (1.4, 12.0)
TINY_VOCABULARY = 1024  # the tiny tokenizer's cap
CHECKPOINTS_KEPT = 2
WIDTH = 120  # of the tables, for a terminal and a pipe alike
GIB, GB = memory.GIB, 10**9


def find_shape(params: Params) -> tuple[HubShape, str]:
    """The policy's sizes and where they were found: the imported policy, its folder, or the params."""
    policy = params.policy.root
    folders = [Path("artifacts") / params.preset / f"policy/{base}" for base in params.bases]
    if policy.kind == "hub" and policy.is_folder:
        folders.append(Path(policy.source))
    for folder in folders:
        if os.path.isfile(file := folder / "config.json"):
            return shape_of(read_config(folder), str(file)), str(file)
    if policy.kind == "tiny":
        s = policy.shape
        sizes = {"hidden": s.hidden, "heads": s.heads, "kv_heads": s.kv_heads, "head_dim": s.head_dim}
        shape = HubShape(**sizes, intermediate=s.intermediate, vocabulary=TINY_VOCABULARY, tied=True)
        return shape, "policy.shape, with the largest vocabulary of its tokenizer"
    if policy.shape is None:
        raise UserError(
            f"policy: the sizes of {policy.name} are unknown before it is fetched; fill in policy.shape, or make "
            f"artifacts/{params.preset}/policy/{params.bases[0]} first"
        )
    return policy.shape, "policy.shape"


def read_measured() -> dict[str, float]:
    """Bytes on disk of a response's token, a row of tokens and a row of attention, as the benchmark measured them."""
    try:
        with MEASURED.open(encoding="utf-8") as file:
            row = {
                name: value
                for name, value in next(csv.DictReader(file)).items()
                if name.endswith("_row") or "rows" in name
            }
    except (FileNotFoundError, StopIteration):
        raise UserError(f"{MEASURED}: missing or empty; `python benchmarks/trainer.py` writes it") from None
    responses = float(row["responses_bytes_a_row"]) * float(row["responses_rows"]) / float(row["tokens_rows"])
    return {
        "responses": responses,
        "tokens": float(row["tokens_bytes_a_row"]),
        "attention": float(row["attention_bytes_a_row"]),
    }


def find_problems(params: Params) -> int | None:
    """How many benchmark problems there are: those that were made, else those that the params name by number."""
    made = Path("artifacts") / params.preset / "prompts/benchmarks"
    if (made / MANIFEST).is_file():
        return sum(facts["rows"] or 0 for facts in read_manifest(made)["files"].values())
    total = 0
    for benchmark in params.prompts.benchmarks:
        known = [n for n in (getattr(benchmark.source, "n", None), benchmark.limit) if n is not None]
        if not known:
            return None
        total += min(known)
    return total


def phase_table(phase: memory.Phase, gpu_bytes: float) -> Table:
    """One phase, part by part."""
    table = Table(title=f"{phase.name}: a GPU's memory", title_justify="left")
    table.add_column("part")
    table.add_column("GiB", justify="right")
    table.add_column("how")
    for part in phase.parts:
        table.add_row(part.what, f"{part.size / GIB:.2f}", part.how)
    table.add_section()
    table.add_row("together", f"{phase.size / GIB:.2f}", f"of {gpu_bytes / GIB:g}")
    return table


def volume_table(params: Params, count: int, response_tokens: int) -> Table:
    """Logs, checkpoints and policies, of one run and of all runs."""
    measured = read_measured()
    rows = log_rows(params.train, params.sampling, response_tokens)
    runs = len(params.methods) * len(params.replicates) + len(params.extra_runs)
    table = Table(title=f"on disk, at {response_tokens:,} tokens a response", title_justify="left")
    for name in ("what", "rows a run", "GB a run", f"GB of {runs} runs", "GB at most", "bytes a row"):
        table.add_column(name, justify="left" if name in ("what", "bytes a row") else "right")

    def add(what: str, n: int | None, size: float, most: float | None, source: str) -> None:
        cells = [what, f"{n:,}" if n else "", f"{size / GB:.3g}", f"{size * runs / GB:.3g}"]
        table.add_row(*cells, f"{most * runs / GB:.3g}" if most else "", source)

    text = measured["responses"]
    add("responses", rows.responses, text * rows.responses * response_tokens, None, f"{text:.2f} a token of text")
    for name, n in (("tokens", rows.tokens), ("attention", rows.attention)):
        each, most = measured[name], MOST_BYTES[name]
        add(name, n, each * n, most * n, f"{each:g}; {most:g} allowed")
    problems = find_problems(params)
    if problems is None:
        table.add_row("evaluation samples", "after prompts", "", "", "", "problems are counted there")
    else:
        longest_or = min(response_tokens, params.evaluate.max_response_tokens)
        n = sample_tokens(params.evaluate, problems, longest_or)
        each, most = EVALUATED_BYTES
        add("tokens of evaluation samples", n, each * n, most * n, f"{each:g}; {most:g} allowed")
    kept = checkpoint_bytes(count, CHECKPOINTS_KEPT)
    add("checkpoints while it trains", None, kept, None, f"12 a weight, {CHECKPOINTS_KEPT} and a new one")
    add(
        "policies that it leaves",
        None,
        policy_bytes(params.train, count),
        None,
        f"{policy_width(params.train)} a weight",
    )
    table.caption = f"bytes a row: {MEASURED}, of the tiny policy; the allowed ones: benchmarks/trainer.py.  What a "
    table.caption += "run leaves also lies in DVC's cache: twice as much, unless the file system shares blocks."
    return table


def plan_verl(params: Params, shape: HubShape, gpu_bytes: float, console: Console, show: bool) -> list[str]:
    """Print verl's configuration and the memory of a GPU.  Returns the problems found, the most important first."""
    train, verl, layers = params.train, params.systems.verl, params.policy.num_layers
    assert verl is not None, "params are refused without it where the trainer is verl"
    here = Path("artifacts") / params.preset
    files = VerlFiles(
        here / "prompts/train", here / "prompts/train", here / f"policy/{params.bases[0]}", here / "checkpoints"
    )
    config = config_of(train, params.sampling, params.systems, params.seeds[0], files, name=params.methods[0])
    if importlib.util.find_spec("verl") is None:
        console.print("verl's configuration: left out, verl is not installed here; keys were not checked against it")
    else:
        resolved = resolve(config)
        console.print(f"verl's configuration: resolves; {len(config)} keys are set here, the rest are verl's defaults")
        if show:
            from omegaconf import OmegaConf

            console.print(OmegaConf.to_yaml(resolved), markup=False, highlight=False)
    memory.check_heads(shape, verl.tensor_parallel)
    responses = train.prompts_per_step // train.mini_batches * params.sampling.n
    console.print(
        f"{verl.nodes} nodes x {verl.gpus_per_node} = {verl.world_size} GPUs; a mini-batch of {responses} responses is "
        f"{responses // verl.world_size} a GPU; {verl.world_size // verl.tensor_parallel} vLLM replicas"
    )
    if verl.device == "cpu":
        console.print("device cpu: a trial without GPUs, whose memory is not planned")
        return []
    phases = [
        memory.update_phase(train, verl, shape, layers),
        memory.sampling_phase(train, verl, shape, layers, gpu_bytes),
    ]
    for phase in phases:
        console.print(phase_table(phase, gpu_bytes))
    problems = []
    for phase in phases:
        if phase.size > gpu_bytes:
            most = memory.most_tokens(train, verl, shape, layers, gpu_bytes)
            fits = f"; max_tokens_per_gpu {most} would fit" if phase.name == "update" and most >= 1 else ""
            problems.append(
                f"systems.verl: {phase.name} needs {phase.size / GIB:.1f} GiB on a GPU of {gpu_bytes / GIB:g}; the "
                f"largest part is {phase.largest.what}, {phase.largest.size / GIB:.1f}{fits}"
            )
    room = memory.cache_room(
        train.dtype,
        verl.gpu_memory_utilization,
        verl.tensor_parallel,
        shape,
        layers,
        longest([params.sampling]),
        gpu_bytes,
    )
    problems += room_problems("systems.verl", room, console)
    if host := memory.host_bytes(verl, shape, layers):
        console.print(f"offload: {host / GIB:.1f} GiB of each node's own memory while vLLM samples")
    return problems


def plan_vllm(params: Params, shape: HubShape, gpu_bytes: float, console: Console) -> list[str]:
    """For the sample and evaluate stages that use vLLM: print their jobs, and check that a context fits."""
    vllm = params.systems.vllm
    sections = ((params.rollouts, params.sampling), (params.evaluate, params.evaluate))
    lengths = [of for section, of in sections if section.engine == "vllm"]
    if not lengths or vllm is None or vllm.device == "cpu":
        return []
    seeds, bases = len(params.replicates), len(params.bases)
    jobs = {
        "of the probe": bases * len(params.rollouts.shards) * (params.rollouts.engine == "vllm"),
        "of evaluation": (len(params.methods) + 1) * seeds * (params.evaluate.engine == "vllm"),
    }
    listed = " and ".join(f"{count} {what}" for what, count in jobs.items() if count)
    console.print(f"systems.vllm: jobs, one node with {vllm.tensor_parallel * vllm.shards} GPUs each: {listed}")
    dtype, layers = params.train.dtype, params.policy.num_layers
    room = memory.cache_room(
        dtype, vllm.gpu_memory_utilization, vllm.tensor_parallel, shape, layers, longest(lengths), gpu_bytes
    )
    return room_problems("systems.vllm", room, console)


def longest(sections: Sequence[SamplingParams | EvaluateParams]) -> int:
    """Tokens of the longest prompt and response."""
    return max(section.max_prompt_tokens + section.max_response_tokens for section in sections)


def room_problems(section: str, room: memory.CacheRoom, console: Console) -> list[str]:
    """Print the room that vLLM has for keys and values.  It is a problem if not even one longest context fits."""
    console.print(
        f"{section}, vLLM: {max(0.0, room.room) / GIB:.1f} GiB for keys and values, {room.token / 1024:.0f} KiB a "
        f"token: {room.sequences:.1f} contexts of {room.longest:,} tokens at once"
    )
    if room.sequences >= 1:
        return []
    return [
        f"{section}: vLLM has {max(0.0, room.room) / GIB:.1f} GiB for keys and values, less than the "
        f"{room.token * room.longest / GIB:.1f} of one context of {room.longest} tokens; raise "
        "gpu_memory_utilization or tensor_parallel"
    ]


def plan(params: Params, args: argparse.Namespace, console: Console) -> None:
    """Print everything, and then raise UserError for what cannot fit."""
    shape, source = find_shape(params)
    layers, gpu_bytes = params.policy.num_layers, args.gpu_memory * GIB
    count = weights(shape, layers)
    response = args.response_tokens or params.sampling.max_response_tokens
    priced = price_tables(params, count, response, args)
    if args.gpu_hours is not None and not priced:
        raise UserError(f"--gpu-hours: preset {params.preset} asks for no GPU; give --step-seconds too, as measured")
    if args.verl_config and params.train.trainer != "verl":
        raise UserError(f"--verl-config: preset {params.preset} trains with {params.train.trainer}, not with verl")
    console.print(f"preset {params.preset}: {params.policy.root.name}, {count / 1e6:,.1f} M weights (sizes: {source})")
    problems: list[str] = []
    if params.train.trainer == "verl":
        problems += plan_verl(params, shape, gpu_bytes, console, args.verl_config)
    else:
        console.print("trainer local: one process; no GPU memory is planned")
    problems += plan_vllm(params, shape, gpu_bytes, console)
    console.print(volume_table(params, count, response))
    held = driver_bytes(params.train, params.sampling, tokens.SCHEMA, attention.SCHEMA)
    console.print(f"the trainer's own process: {held / GIB:.1f} GiB of responses and tables, two steps at the limit")
    if dynamic := params.train.dynamic_sampling:
        console.print(f"dynamic sampling: a step may sample {dynamic.max_batches} batches to train on one")
    if args.step_seconds is not None:
        verl = params.systems.verl if params.train.trainer == "verl" else None
        gpus, unit = (verl.world_size, "GPU") if verl and verl.device == "cuda" else (1, "machine")
        runs = len(params.methods) * len(params.replicates) + len(params.extra_runs)
        hours = args.step_seconds * params.train.steps / 3600 * gpus
        console.print(
            f"{unit}-hours at {args.step_seconds:g} s a step: {hours:,.1f} a run, {hours * runs:,.1f} of {runs} runs"
        )
    for table in priced:
        console.print(table)
    if problems:
        raise UserError(problems[0])


def _run(args: argparse.Namespace) -> None:
    params = read_preset(args.preset).params if args.preset else load_params()
    # What stands in params is text: a folder may be called [old], or models:100:.
    width = max(WIDTH, Console().width)
    plan(params, args, Console(width=width, soft_wrap=True, markup=False, emoji=False))


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def _whole(text: str) -> int:
    value = _positive(text)
    if value != int(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(value)


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("preset", nargs="?", help="plan this preset instead of params.yaml")
    parser.add_argument("--gpu-memory", type=_positive, default=80.0, metavar="GIB", help="of one GPU (default: 80)")
    parser.add_argument("--response-tokens", type=_whole, help="mean length of a response (default: the longest)")
    parser.add_argument("--step-seconds", type=_positive, help="of one training step, for GPU-hours")
    parser.add_argument(
        "--gpu-tflops", type=_positive, default=989.0, metavar="T", help="peak of one GPU in bfloat16 (default: 989)"
    )
    parser.add_argument(
        "--gpu-hours", type=_positive, metavar="H", help="a budget: say which results and claims fit into it"
    )
    parser.add_argument("--verl-config", action="store_true", help="print verl's whole configuration")
    parser.set_defaults(func=_run)
