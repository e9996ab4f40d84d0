"""`accept STAGE` or `accept --all`: keep the results of stages whose code was only refactored."""

import argparse

from snakedvc.errors import ProjectError


def _run(args: argparse.Namespace) -> None:
    from snakedvc.dvcfiles.load import load_pipeline
    from snakedvc.dvcfiles.store import Store
    from snakedvc.planning.accept import ACCEPTED, accept

    if (args.stage is None) != args.all:
        raise ProjectError("accept: name one stage, or give --all")
    found = accept(load_pipeline(), Store(), args.stage, args.reason, args.wiring)
    for decision in found:
        if decision.what == "accepted":
            print(f"{decision.stage.addr}: accepted")
        elif decision.what != "standing":
            print(f"{decision.stage.addr}: not accepted: {decision.why or decision.what}")
    if any(d.what == "accepted" for d in found):
        print(f"written to {ACCEPTED}")
    elif all(d.what == "standing" for d in found):
        print(f"{args.stage or 'all stages'}: nothing to accept, the results stand")


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("stage", nargs="?", help="a stage of dvc.yaml, or one address such as train@full-1")
    parser.add_argument("--all", action="store_true", help="all stages; those that cannot be accepted are listed")
    parser.add_argument(
        "--wiring",
        action="store_true",
        help="also where the command changed, or which deps and params dvc.yaml lists; never where a value did",
    )
    parser.add_argument("--reason", default="pure refactor", help="why the outputs would be the same")
    parser.set_defaults(func=_run)
