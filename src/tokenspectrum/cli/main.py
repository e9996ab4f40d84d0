"""`spectrum`: the entry point.  Knows which subcommands there are and how they fail, not what they do."""

import argparse
import sys

from snakedvc.errors import ProjectError
from tokenspectrum.cli import accept, deps, doctor, explain, impact, plan, preset, push, schemas, sql, status, watch
from tokenspectrum.cli.project import enter_project
from tokenspectrum.errors import UserError

COMMANDS = (preset, plan, status, watch, explain, sql, impact, deps, accept, push, doctor, schemas)


def parser() -> argparse.ArgumentParser:
    """The command-line parser with every subcommand."""
    top = argparse.ArgumentParser(prog="spectrum", description="Which response tokens teach a policy?")
    subparsers = top.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return top


def main(argv: list[str] | None = None) -> None:
    """Run one subcommand in the project's root; a user's mistake is one line and exit 1."""
    args = parser().parse_args(argv)
    try:
        enter_project()
        args.func(args)
    except (UserError, ProjectError) as e:
        sys.exit(f"error: {e}")
    except BrokenPipeError:  # `spectrum sql ... | head`
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
