"""`spectrum accept STAGE`: keep a stage's outputs after a pure refactor of its code."""

import argparse


def _run(args: argparse.Namespace) -> None:
    from snakedvc.dvcfiles.pipeline import load_pipeline
    from snakedvc.dvcfiles.records import fold
    from snakedvc.planning.accept import ACCEPTED, accept

    done = accept(load_pipeline(), args.stage, args.reason)
    fold()
    for addr in done:
        print(f"{addr}: accepted")
    print(f"written to {ACCEPTED}" if done else f"{args.stage}: nothing to accept, its code did not change")


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("stage", help="a stage of dvc.yaml, or one address such as train@full-1")
    parser.add_argument("--reason", default="pure refactor", help="why the outputs would be the same")
    parser.set_defaults(func=_run)
