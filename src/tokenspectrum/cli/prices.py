"""The part of `spectrum plan` that prices results and claims, so that what fits a budget can be chosen.

A result costs the trainings that it reads, and their evaluation.  Trainings are shared: the column `with those above`
counts each once.  Other modules do the arithmetic.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from tokenspectrum.params.root import Params
from tokenspectrum.results.claims.declared import CLAIMS
from tokenspectrum.results.declare import Result
from tokenspectrum.results.discover import results
from tokenspectrum.results.sources import SOURCES
from tokenspectrum.systems.price import PUBLISHED, Speed, evaluation_hours, probe_hours, step_hours


@dataclass(frozen=True)
class Prices:
    """Hours of one training with its evaluation, of a method on all replicates, and of all base policies' probes."""

    run: float
    method: float
    probe: float
    unit: str
    how: str


def methods_of(result: Result, params: Params) -> tuple[str, ...]:
    """The methods whose runs a result reads: those of its options, those that it declares, or all that are trained.

    A further run that it reads stands there by its own name, such as full-s9.
    """
    own = tuple(getattr(getattr(params.analysis, result.name, None), "methods", ()) or result.methods)
    if "run_gradients" in result.reads:
        own = params.run_gradients.methods
    elif not own and any(SOURCES[name].names("method") for name in result.reads):
        own = params.methods
    more = any(SOURCES[name].names("more") for name in result.reads)
    return own + tuple(extra.run for extra in params.extra_runs if more and extra.method in own)


def problems_of(params: Params) -> int:
    """Problems of all benchmarks: what params say, or how many were published."""
    found = 0
    for benchmark in params.prompts.benchmarks:
        source = benchmark.source
        most = getattr(source, "n", None) or PUBLISHED.get(getattr(source, "format", ""), 0)
        limit = getattr(benchmark, "limit", None)
        found += min(most, limit) if limit else most
    return found


def prices(params: Params, weights: int, response: int, step_seconds: float | None, tflops: float) -> Prices | None:
    """What a method and the probe cost; None where there is neither a GPU to price nor a measured step."""
    verl, n = params.systems.verl, len(params.replicates)
    on_gpus = params.train.trainer == "verl" and verl is not None and verl.device == "cuda"
    if verl is None or not on_gpus:
        if step_seconds is None:
            return None
        training = step_seconds * params.train.steps / 3600
        return Prices(training, training * n, 0.0, "machine", f"{step_seconds:g} s a step; training alone")
    speed = Speed(tflops)
    step = step_hours(params.train, params.sampling, weights, response, speed, verl.gradient_checkpointing)
    assumed = f"{tflops:g} TFLOP/s a GPU, of which passes reach {speed.passes:.0%} and decoding {speed.decoding:.0%}"
    how = f"{step:.3g} GPU-hours a step: {assumed} (assumed)"
    if step_seconds is not None:
        step = step_seconds * verl.world_size / 3600
        how = f"{step_seconds:g} s a step on {verl.world_size} GPUs; the rest: {assumed} (assumed)"
    evaluated = evaluation_hours(params.evaluate, problems_of(params), weights, response, speed)
    own = step * params.train.steps + evaluated * len(params.evaluate.steps)
    probe = probe_hours(params.rollouts.prompts, params.sampling, weights, response, speed)
    return Prices(own, own * n, probe * len(params.bases), "GPU", how)


def price_table(found: Prices, needs: Mapping[str, Sequence[str]], title: str, budget: float | None) -> Table:
    """A row a result or claim, the cheapest first: what it takes alone, and with all rows above it."""
    each = f"a run {found.run:,.0f}, a method {found.method:,.0f} on all replicates"
    head = f"{found.unit}-hours by {title}, {each}; {found.how}"
    table = Table(title=head, title_justify="left")
    for name in (title, "methods", "alone", "with those above", *(["fits"] if budget is not None else [])):
        table.add_column(name, justify="right" if name in ("alone", "with those above") else "left")
    there: set[str] = set()

    def cost(methods: Iterable[str]) -> float:
        return found.probe + sum(found.run if "-s" in method else found.method for method in methods)

    for name, methods in sorted(needs.items(), key=lambda item: (len(item[1]), item[0])):
        there |= set(methods)
        together = cost(there)
        cells = [name, shown(methods), f"{cost(methods):,.0f}", f"{together:,.0f}"]
        table.add_row(*cells, *(["yes" if together <= budget else "no"] if budget is not None else []))
    return table


def shown(methods: Sequence[str]) -> str:
    """The methods, or how many they are."""
    if not methods:
        return "none: the probe alone"
    return ", ".join(methods) if len(methods) <= 4 else f"{len(methods)}: {', '.join(methods[:3])}, ..."


def by_result(params: Params) -> dict[str, tuple[str, ...]]:
    """Result -> the methods that it reads."""
    return {name: methods_of(result, params) for name, result in results().items()}


def by_claim(params: Params) -> dict[str, tuple[str, ...]]:
    """Claim -> the methods that it needs: its own, and those of the results that it is decided from.

    A claim whose results are not there is left out.
    """
    of = by_result(params)

    def needed(methods: Iterable[str], asked: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*methods, *(m for name in asked for m in of.get(name, ()))]))

    return {claim.id: needed(claim.methods, claim.results) for claim in CLAIMS if set(claim.results) <= of.keys()}


def tables(params: Params, weights: int, response: int, args: Any) -> list[Table]:
    """Both tables; none where nothing can be priced."""
    found = prices(params, weights, response, args.step_seconds, args.gpu_tflops)
    if found is None:
        return []
    both = (("result", by_result(params)), ("claim", by_claim(params)))
    return [price_table(found, needs, title, args.gpu_hours) for title, needs in both]
