"""`spectrum preset`: choose a whole params.yaml.  Knows files, not what is in them."""

import argparse
import shutil
from pathlib import Path

from tokenspectrum.errors import UserError

PRESETS = Path("presets")
PARAMS = Path("params.yaml")


def presets() -> list[str]:
    """Names of the presets at hand, sorted."""
    return sorted(p.stem for p in PRESETS.glob("*.yaml"))


def backup_path() -> Path:
    """The first free name params.yaml.bak, params.yaml.bak1, ..."""
    candidates = (Path(f"{PARAMS}.bak{i or ''}") for i in range(10_000))
    return next(p for p in candidates if not p.exists())


def choose(name: str, force: bool) -> str:
    """Copy preset `name` to params.yaml; an edited params.yaml is only replaced with `force`, and then backed up."""
    source = PRESETS / f"{name}.yaml"
    if not source.is_file():
        raise UserError(f"preset {name!r}: no such preset; there are {', '.join(presets())}")
    if PARAMS.exists() and PARAMS.read_bytes() == source.read_bytes():
        return f"params.yaml is preset {name} already"
    note = ""
    if PARAMS.exists() and PARAMS.read_bytes() not in {p.read_bytes() for p in PRESETS.glob("*.yaml")}:
        if not force:
            raise UserError(
                "params.yaml: edited by hand and would be lost; add --force to replace it (a backup is kept)"
            )
        backup = backup_path()
        shutil.copy2(PARAMS, backup)
        note = f" (the old one is {backup})"
    temporary = PARAMS.with_suffix(".tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(PARAMS)
    return f"params.yaml is now preset {name}{note}"


def _run(args: argparse.Namespace) -> None:
    print(choose(args.name, args.force) if args.name else "\n".join(presets()))


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the subcommand."""
    parser = subparsers.add_parser("preset", help="list presets, or make one of them params.yaml")
    parser.add_argument("name", nargs="?", help="the preset; without it, the presets are listed")
    parser.add_argument("--force", action="store_true", help="replace an edited params.yaml, keeping a backup")
    parser.set_defaults(func=_run)
