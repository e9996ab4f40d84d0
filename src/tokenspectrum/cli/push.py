"""`spectrum push`: send every recorded variant of every stage to the DVC remote."""

import argparse


def _run(args: argparse.Namespace) -> None:
    from workflow.bridge.cache import Cache
    from workflow.bridge.dvc_remote import push
    from workflow.bridge.pipeline import load_pipeline
    from workflow.bridge.project import read_config
    from workflow.bridge.records import Records

    records = Records()
    current = [record for addr in load_pipeline().stages if (record := records.get(addr))]
    n_records, n_objects = push(Cache(read_config().cache_dir), current)
    print(f"{n_records} run records, {n_objects} new objects sent")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the subcommand."""
    parser = subparsers.add_parser("push", help="send all results, older variants too, to the DVC remote")
    parser.set_defaults(func=_run)
