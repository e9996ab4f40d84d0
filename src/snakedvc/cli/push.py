"""`push`: send all recorded results of every stage to the DVC remote."""

import argparse


def _run(args: argparse.Namespace) -> None:
    from snakedvc.dvcfiles.dvc_remote import push
    from snakedvc.dvcfiles.load import load_pipeline
    from snakedvc.dvcfiles.store import Store

    store = Store()
    current = [record for stage in load_pipeline().stages.values() if (record := store.last(stage))]
    n_records, n_objects = push(store.cache, current)
    print(f"{n_records} run records, {n_objects} new objects sent")


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.set_defaults(func=_run)
