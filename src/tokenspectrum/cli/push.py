"""`spectrum push`: send every recorded variant of every stage to the DVC remote."""

import argparse


def _run(args: argparse.Namespace) -> None:
    from snakedvc.dvcfiles.cache import Cache
    from snakedvc.dvcfiles.config import read_config
    from snakedvc.dvcfiles.dvc_remote import push
    from snakedvc.dvcfiles.pipeline import load_pipeline
    from snakedvc.dvcfiles.records import Records

    records = Records()
    current = [record for addr in load_pipeline().stages if (record := records.get(addr))]
    n_records, n_objects = push(Cache(read_config().cache_dir), current)
    print(f"{n_records} run records, {n_objects} new objects sent")


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.set_defaults(func=_run)
