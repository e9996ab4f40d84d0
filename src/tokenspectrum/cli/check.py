"""`spectrum check [RUN]`: do the files of a preset agree?  A line for each thing that does not, and exit 1."""

import argparse
import sys
from pathlib import Path

from tokenspectrum.errors import UserError


def _run(args: argparse.Namespace) -> None:
    from tokenspectrum.checking.preset import Checked
    from tokenspectrum.params.root import load_params

    params = load_params()
    root = Path("artifacts", params.preset)
    if args.run is not None and args.run not in params.methods:
        raise UserError(f"check: {args.run}: no such method; there are {', '.join(params.methods)}")
    if not root.is_dir():
        raise UserError(f"{root}: nothing is made yet; run the pipeline first")
    checked = Checked(root, params)
    if args.run is None:
        checked.everything()
    else:
        checked.one_run(args.run)
    report = checked.report
    for finding in report.findings:
        print(finding)
    if not report.findings and not +report.compared:
        raise UserError(f"{root}: nothing of {args.run or 'this preset'} is made yet; run the pipeline first")
    compared = ", ".join(f"{n} {kind}" for kind, n in sorted(report.compared.items()) if n)
    print(f"compared: {compared or 'nothing'}; {len(report.findings) or 'none'} wrong")
    if report.findings:
        sys.exit(1)


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("run", metavar="RUN", nargs="?", help="name of a method in params.yaml; all if left out")
    parser.set_defaults(func=_run)
