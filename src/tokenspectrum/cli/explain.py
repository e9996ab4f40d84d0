"""`spectrum explain RUN`: the resolved rule of a run, what it realised on the base policy's tokens, and in training."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenspectrum.errors import UserError

# Shown of each seed's training: first step against last.
SHOWN = (
    "kept_fraction",
    "score_at_cut",
    "mean_weight",
    "effective_sample_size",
    "skipped",
    "reward",
    "accuracy",
    "length",
)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; a missing or damaged file is a UserError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make it: snakemake --profile local {path}") from None
    except ValueError as e:
        raise UserError(f"{path}: not valid JSON ({e}); run its weights stage again") from None


def text_of(value: Any) -> str:
    """A value in few characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(text_of, value))
    return "-" if value is None else str(value)


def realised_rows(realised: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of (what, value at each point of the schedule): numbers first, then quantiles of the weight."""
    points = realised["realised"]
    rows: list[tuple[str, ...]] = [
        (str(name), *(text_of(point[name]) for point in points))
        for name, value in points[0].items()
        if name != "s" and not isinstance(value, dict)
    ]
    for q in points[0]["weight_quantiles"]:
        rows.append((f"weight, quantile {q}", *(text_of(point["weight_quantiles"][q]) for point in points)))
    return rows


def type_rows(point: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of (token type, tokens, kept fraction, mean weight, mean score)."""
    names = ("tokens", "kept_fraction", "mean_weight", "mean_score")
    return [(kind, *(text_of(of[name]) for name in names)) for kind, of in sorted(point["by_type"].items())]


def training_rows(folder: Path) -> list[tuple[str, ...]] | None:
    """Rows of (metric, first step, last step) of one seed, None where it has not been trained."""
    from tokenspectrum.tokenlog.reader import read_table

    if not folder.is_dir():
        return None
    steps = read_table(folder, "metrics").sort_by("step").to_pylist()
    first, last = steps[0], steps[-1]
    rows = [("step", str(first["step"]), str(last["step"]))]
    return rows + [(name, text_of(first[name]), text_of(last[name])) for name in SHOWN]


def draw(console: Console, title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A titled table without rules."""
    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(Text(title, style="bold"), soft_wrap=True)
    console.print(table, "")


def on_base(console: Console, run: str, weights: Path, base: int) -> None:
    """What the rule is on one base policy, and what it does there."""
    rule, realised = read_json(weights / "rule.json"), read_json(weights / "realised.json")
    points = realised["realised"]
    fields: list[tuple[str, ...]] = [(name, text_of(value)) for name, value in rule.items()]
    draw(console, f"{run}: resolved rule on base {base}, {weights / 'rule.json'}", ("field", "value"), fields)
    heads = (f"on base policy {base}", *(f"s = {point['s']}" for point in points))
    title = f"realised on {realised['tokens']} tokens of {realised['responses']} responses"
    draw(console, title, heads, realised_rows(realised))
    header = ("type of token", "tokens", "kept fraction", "mean weight", "mean score")
    draw(console, f"by type of token, s = {points[-1]['s']}", header, type_rows(points[-1]))


def _run(args: argparse.Namespace) -> None:
    from tokenspectrum.params.base import read_sections
    from tokenspectrum.params.replicates import Replicates
    from tokenspectrum.params.values import Name, Names, Numbers

    preset, methods, bases, replicates = read_sections(preset=Name, methods=Names, bases=Numbers, replicates=Replicates)
    if args.run not in methods.root:
        raise UserError(f"run {args.run!r}: no such run in params.yaml; there are {', '.join(methods.root)}")
    artifacts = Path("artifacts") / preset.root
    console = Console(markup=False, emoji=False)
    for base in bases.root:
        on_base(console, args.run, artifacts / f"weights/{args.run}-b{base}", base)
    for replicate in replicates.root:
        rows = training_rows(artifacts / "metrics" / f"{args.run}-s{replicate.seed}")
        where = f"seed {replicate.seed} on base {replicate.base}"
        if rows is None:
            console.print(f"{where}: not trained yet")
        else:
            draw(console, f"in training, {where}", ("", "first", "last"), rows)


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("run", metavar="RUN", help="name of a method in params.yaml")
    parser.set_defaults(func=_run)
