"""`spectrum deps`: write what is generated in dvc.yaml, or check that it is as it would be written.

That is the stages of the results, from their declarations, and the code deps of all stages, from the imports.
"""

import argparse

from tokenspectrum.errors import UserError


def write() -> None:
    """Bring dvc.yaml up to date, and say whether anything changed."""
    from snakedvc.code.deps import note_if_exact, rewritten
    from snakedvc.dvcfiles.records import write_atomically
    from snakedvc.dvcfiles.templates import DVC_YAML
    from tokenspectrum.results.discover import results
    from tokenspectrum.results.dvcfile import with_results

    old = DVC_YAML.read_text(encoding="utf-8")
    new = rewritten(with_results(old, results()))
    if new != old:
        write_atomically(DVC_YAML, new)
    print("dvc.yaml: code deps written" if new != old else "dvc.yaml: code deps were exact already")
    note_if_exact()


def check() -> None:
    """UserError with a line for whatever `write` would change."""
    from snakedvc.code.deps import drift
    from snakedvc.dvcfiles.load import load_pipeline
    from snakedvc.dvcfiles.templates import DVC_YAML
    from tokenspectrum.results.discover import results
    from tokenspectrum.results.dvcfile import drifted

    if lines := [*drifted(DVC_YAML.read_text(encoding="utf-8"), results()), *drift(load_pipeline())]:
        raise UserError("dvc.yaml: has drifted; run `spectrum deps`:\n  " + "\n  ".join(lines))
    print("dvc.yaml: code deps are exact")


def _run(args: argparse.Namespace) -> None:
    check() if args.check else write()


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 naming stage and file if they differ"
    )
    parser.set_defaults(func=_run)
