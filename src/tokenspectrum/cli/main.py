"""`spectrum`: the entry point.  Knows which subcommands there are and how they fail, not what they do.

A subcommand's module is imported when it is asked for.  So `spectrum --help` answers at once.
"""

import argparse
import importlib
import keyword
import sys
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from tokenspectrum.cli.failures import as_lines
from tokenspectrum.errors import UserError

# What works in any project of Snakemake and DVC is the bridge's.
BRIDGE = "snakedvc.cli"


class Command(NamedTuple):
    """A subcommand: one line of help, an example, whether params.yaml must be right for it, and where its module is."""

    help: str
    example: str
    reads_params: bool = True
    room: str = "tokenspectrum.cli"


COMMANDS = {
    "preset": Command("list presets, or make one of them params.yaml", "preset tiny --set train.steps=3", False),
    "plan": Command("what params.yaml would take: GPU memory, logs, checkpoints, GPU-hours", "plan qwen3-8b", False),
    "status": Command("say of each stage whether its result is there, and why not", "status train", room=BRIDGE),
    "watch": Command("show the progress of the stages that are running; Ctrl-C ends it", "watch --once", False),
    "explain": Command("show a run's resolved rule and what it realised", "explain anchor20"),
    "sql": Command(
        "ask the token database: SELECT, DESCRIBE, EXPLAIN or SUMMARIZE",
        'sql "SELECT run, avg(reward) FROM responses GROUP BY ALL"',
    ),
    "view": Command("look at the tokens in the browser, live while a run trains", "view --port 8765", False),
    "export": Command("write the token log as a dataset folder, or a trained policy as a model folder", "export log/"),
    "import": Command(
        "take responses that verl, TRL or prime-rl dumped, or a file of pairs, as a preset that scores them",
        "import verl rollouts/ --policy Qwen/Qwen3-0.6B --revision COMMIT --name theirs",
        False,
    ),
    "impact": Command(
        "list the stages that a change of a file would invalidate",
        "impact src/tokenspectrum/counter.py",
        room=BRIDGE,
    ),
    "deps": Command("write the results' stages and all code deps into dvc.yaml", "deps --check", False),
    "accept": Command(
        "keep the results of stages whose code was only refactored", 'accept --all --reason "a rename"', room=BRIDGE
    ),
    "push": Command("send all results, older variants too, to the DVC remote", "push", room=BRIDGE),
    "gc": Command(
        "say what the cache holds and what of it can go; delete that with --force", "gc --keep-days 7", room=BRIDGE
    ),
    "check": Command("check that the files of a run, or of all, agree with each other", "check full"),
    "doctor": Command(
        "check that this site is ready: environment, cache, locks, Slurm", "doctor --profile slurm --submit", False
    ),
    "results": Command("list the results, begin one, write what follows from them", "results --new mine", False),
    "schemas": Command("write schemas/ and docs/params.md from the code", "schemas --check", False),
}


class _Version(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        from importlib.metadata import version

        print(f"tokenspectrum {version('tokenspectrum')}")
        parser.exit()


class _Completion(argparse.Action):
    """Print a script for the shell that completes commands, options and choices."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        import shtab

        print(shtab.complete(_parser(COMMANDS), shell=str(values)))
        parser.exit()


def parser(words: list[str]) -> argparse.ArgumentParser:
    """The command-line parser; the subcommand that `words` name has its arguments, the others their help alone."""
    asked = next((word for word in words if not word.startswith("-")), None)
    if words and words[0] == "--completion":
        asked = None
    if asked is not None and asked not in COMMANDS:
        near = get_close_matches(asked, COMMANDS, n=1)
        raise UserError(f"{asked}: no such command{f'; did you mean {near[0]}?' if near else ''}")
    return _parser([asked] if asked else [])


def _parser(configured: Collection[str]) -> argparse.ArgumentParser:
    """The command-line parser, with the arguments of these subcommands."""
    top = argparse.ArgumentParser(prog="spectrum", description="Which response tokens teach a policy?")
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    top.add_argument(
        "--completion",
        action=_Completion,
        choices=["bash", "zsh", "tcsh"],
        help='print completion for a shell and exit: eval "$(spectrum --completion bash)"',
    )
    subparsers = top.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, command in COMMANDS.items():
        one = subparsers.add_parser(
            name, help=command.help, description=command.help, epilog=f"example: spectrum {command.example}"
        )
        if name in configured:
            # A word of the language cannot be a module's name.
            module = f"{name}_" if keyword.iskeyword(name) else name
            importlib.import_module(f"{command.room}.{module}").configure(one)
    return top


def main(argv: list[str] | None = None) -> None:
    """Run one subcommand in the project's root.  A user's mistake is a line each, and exit 1."""
    words = sys.argv[1:] if argv is None else argv
    with as_lines():
        args = parser(words).parse_args(words or ["--help"])
        for name, value in vars(args).items():
            if isinstance(value, Path):  # as the caller wrote it, from where the caller stands
                setattr(args, name, value.absolute())
            if isinstance(value, list):
                setattr(args, name, [one.absolute() if isinstance(one, Path) else one for one in value])
        from tokenspectrum.cli.project import enter_project

        enter_project()
        if COMMANDS[args.command].reads_params:
            from tokenspectrum.params.root import load_params

            load_params()
        args.func(args)
