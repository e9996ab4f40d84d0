"""`snakedvc`: the entry point.  Knows which subcommands there are and how they fail.  Does not know what they do."""

import argparse
import importlib
import os
import sys
from pathlib import Path

from snakedvc.errors import ProjectError

COMMANDS = {
    "status": "say of each stage whether its result is there, and why not",
    "impact": "list the stages that a change of a file reruns",
    "deps": "write each stage's exact code deps into dvc.yaml",
    "accept": "keep the results of stages whose code was only refactored",
    "gc": "say what the cache holds and what of it can go; delete that with --force",
    "push": "send all results, older variants too, to the DVC remote",
}


def enter_project() -> None:
    """Change into the nearest folder with a dvc.yaml: this one or one above it."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            os.chdir(folder)
            return
    raise ProjectError(f"{here}: no dvc.yaml here or above")


def main(argv: list[str] | None = None) -> None:
    """Run one subcommand in the project's root.  A user's mistake gives one line and exit code 1."""
    parser = argparse.ArgumentParser(prog="snakedvc", description="Snakemake executes, DVC remembers.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, what in COMMANDS.items():
        one = subparsers.add_parser(name, help=what, description=what)
        importlib.import_module(f"snakedvc.cli.{name}").configure(one)
    args = parser.parse_args(argv)
    try:
        enter_project()
        args.func(args)
    except ProjectError as e:
        sys.exit(f"error: {e}")
    except BrokenPipeError:  # `snakedvc status | head`
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
