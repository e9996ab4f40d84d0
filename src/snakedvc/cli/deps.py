"""`deps`: write the import closures into dvc.yaml as code deps, or check that they stand there."""

import argparse

from snakedvc.errors import ProjectError


def _run(args: argparse.Namespace) -> None:
    from snakedvc.code.deps import drift, note_if_exact, write_deps
    from snakedvc.dvcfiles.load import load_pipeline

    if args.check:
        if lines := drift(load_pipeline()):
            raise ProjectError("dvc.yaml: code deps have drifted; run the command `deps`:\n  " + "\n  ".join(lines))
        print("dvc.yaml: code deps are exact")
        return
    print("dvc.yaml: code deps written" if write_deps() else "dvc.yaml: code deps were exact already")
    note_if_exact()


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 naming stage and file if they differ"
    )
    parser.set_defaults(func=_run)
