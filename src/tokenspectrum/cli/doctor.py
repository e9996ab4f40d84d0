"""`spectrum doctor`: is this site ready?  One line a check, with what to do; exit 1 if any fails."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import params_path
from tokenspectrum.params.yaml_file import load_yaml

WAIT_S = 300.0
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def _run(args: argparse.Namespace) -> None:
    from snakedvc.dvcfiles.config import read_config
    from snakedvc.dvcfiles.load import load_pipeline
    from snakedvc.site import checks, slurm_checks
    from tokenspectrum.cli import checks as own
    from tokenspectrum.cli.arithmetic import arithmetic
    from tokenspectrum.cli.jobs import needs

    path = Path(args.profile)
    path = path / "profile.yaml" if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"--profile {args.profile}: no such profile; there are local and slurm")
    on_slurm = load_yaml(path).get("executor") == "slurm"
    if args.submit and not on_slurm:
        raise UserError(f"doctor: --submit runs a Slurm job, and profile {args.profile} has none; leave it out")
    if args.gpu and on_slurm and not args.submit:
        raise UserError(
            f"doctor: --gpu looks on a node, with --submit; profile {args.profile} uses no GPU of this host"
        )
    if args.wait is not None and not args.submit:
        raise UserError("doctor: --wait is for the job of --submit; give both, or neither")
    config = read_config()
    found = [*own.python(), *checks.cache(config), checks.remote(config), *checks.disk(config), checks.locks()]
    found.append(own.hub(load_yaml(params_path())))
    if not args.quick:
        found.append(arithmetic())
    if args.gpu and not on_slurm:
        found.append(own.gpu())
    if on_slurm:
        found += slurm_checks.profile(path, lambda: {name: needs(name) for name in load_pipeline().templates})
        # Without a controller a job would only repeat what was said already.
        if args.submit and not any(c.name == "slurm" and c.state == "fail" for c in found):
            seconds = WAIT_S if args.wait is None else args.wait
            found += slurm_checks.submit(path, args.gpu, seconds, "tokenspectrum.cli.checks:node")
    table = Table("check", "", "what", box=None)
    for check in found:
        table.add_row(check.name, f"[{COLOURS[check.state]}]{check.state}[/]", check.what.replace("[", r"\["))
    Console(soft_wrap=True, width=200 if not sys.stdout.isatty() else None, emoji=False).print(table)
    if any(check.state == "fail" for check in found):
        sys.exit(1)


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("--profile", default="slurm", help="the Snakemake profile to check: slurm (default) or local")
    parser.add_argument("--submit", action="store_true", help="also run one tiny Slurm job")
    parser.add_argument("--gpu", action="store_true", help="a GPU must be there: here, or with --submit on a node")
    parser.add_argument("--wait", type=float, help="seconds until the tiny job must have answered (300)")
    parser.add_argument("--quick", action="store_true", help="leave out the small runs that check this machine's bytes")
    parser.set_defaults(func=_run)
