"""The part of `spectrum plan` that prices results and claims, so that what fits a budget can be chosen.

A result costs the trainings that it reads, and their evaluation.  Trainings are shared: the column `with those above`
counts each once.  What the params cannot make is named by what it lacks, and fits no budget.  Other modules do the
arithmetic.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from tokenspectrum.params.root import Params
from tokenspectrum.results.claims.declared import CLAIMS
from tokenspectrum.results.declare import Result
from tokenspectrum.results.discover import results
from tokenspectrum.results.lacking import lacks
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


def hours(value: float) -> str:
    """Hours as text; below one, minutes."""
    return f"{value * 60:.0f} min" if 0 < value < 1 else f"{value:,.0f}"


def _is_extra(run: str) -> bool:
    return "-s" in run


def _by_number(name: str) -> list[str | int]:
    """A key that puts A2 before A10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def price_table(
    found: Prices,
    needs: Mapping[str, Sequence[str]],
    title: str,
    budget: float | None,
    lacking: Mapping[str, str] | None = None,
) -> Table:
    """A row a result or claim, the cheapest first: what it takes alone, and with all rows above it.

    Last come those that `lacking` names, with what they lack in the place of a price.
    """
    lacking = lacking or {}
    each = f"a run {hours(found.run)}, a method {hours(found.method)} on all replicates"
    head = f"{found.unit}-hours by {title}, {each}; {found.how}"
    table = Table(title=head, title_justify="left")
    for name in (title, "methods", "alone", "with those above", *(["fits"] if budget is not None else [])):
        table.add_column(name, justify="right" if name in ("alone", "with those above") else "left")
    there: set[str] = set()

    def cost(methods: Iterable[str]) -> float:
        return found.probe + sum(found.run if _is_extra(method) else found.method for method in methods)

    def place(name: str) -> tuple[bool, float, list[str | int]]:
        return (name in lacking, 0.0 if name in lacking else cost(needs[name]), _by_number(name))

    for name in sorted(needs, key=place):
        methods = needs[name]
        if name in lacking:
            table.add_row(name, f"lacks {lacking[name]}", "", "", *([""] if budget is not None else []))
            continue
        there |= set(methods)
        together = cost(there)
        cells = [name, shown(methods), hours(cost(methods)), hours(together)]
        table.add_row(*cells, *(["yes" if together <= budget else "no"] if budget is not None else []))
    return table


def shown(methods: Sequence[str]) -> str:
    """The methods, or how many they are, and how many further runs."""
    if not methods:
        return "none: the probe alone"
    if len(methods) <= 4:
        return ", ".join(methods)
    own = [method for method in methods if not _is_extra(method)]
    further = len(methods) - len(own)
    return f"{len(own)}: {', '.join(own[:3])}, ...{f' and {further} further runs' if further else ''}"


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


def lacking_results(params: Params) -> dict[str, str]:
    """Result -> what the params lack for it, of those that cannot be made."""
    found = {name: "; ".join(lacks(result, params)) for name, result in results().items()}
    return {name: why for name, why in found.items() if why}


def lacking_claims(params: Params) -> dict[str, str]:
    """Claim -> the methods and results that the params lack for it, of those that cannot be decided.

    A claim on gradients over the steps of a run needs `run_gradients.methods`; the results are made without.
    """
    without, found = lacking_results(params), {}
    for claim in CLAIMS:
        lines = [f"method {method}" for method in claim.methods if method not in params.methods]
        lines += [f"results/{name}: {without[name]}" for name in claim.results if name in without]
        over_steps = [name for name in claim.results if "run_gradients" in results()[name].reads]
        if over_steps and not params.run_gradients.methods:
            lines.append("methods in run_gradients.methods")
        if lines:
            found[claim.id] = "; ".join(lines)
    return found


def tables(params: Params, weights: int, response: int, args: Any) -> list[Table]:
    """Both tables; none where nothing can be priced."""
    found = prices(params, weights, response, args.step_seconds, args.gpu_tflops)
    if found is None:
        return []
    both = (
        ("result", by_result(params), lacking_results(params)),
        ("claim", by_claim(params), lacking_claims(params)),
    )
    return [price_table(found, needs, title, args.gpu_hours, lacking) for title, needs, lacking in both]
