"""`spectrum schemas`: write schemas/ from the code: the JSON Schema of params and the Arrow schema of every table."""

import argparse
import json
from pathlib import Path

from tokenspectrum.errors import UserError

FOLDER = Path("schemas")


def _text(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def generated() -> dict[str, str]:
    """File name -> text of everything in schemas/."""
    from tokenspectrum.params.root import Params
    from tokenspectrum.tables.registry import MODULES, TABLES

    files = {"params.schema.json": _text(Params.model_json_schema())}
    for module in MODULES:
        name = module.__name__.rsplit(".", 1)[1]
        schema = TABLES[name]
        columns = [
            {
                "name": field.name,
                "type": str(field.type),
                "nullable": field.nullable,
                "description": field.metadata[b"description"].decode(),
            }
            for field in schema
        ]
        about = " ".join(module.__doc__.split())
        key = schema.metadata[b"key"].decode().split(",")
        files[f"tables/{name}.json"] = _text({"table": name, "about": about, "key": key, "columns": columns})
    return files


def stale() -> list[str]:
    """Files in schemas/ that differ from the code, are missing, or are left over."""
    want = generated()
    have = {p.relative_to(FOLDER).as_posix(): p.read_text() for p in FOLDER.rglob("*.json")}
    return sorted(name for name in want.keys() | have.keys() if want.get(name) != have.get(name))


def write() -> None:
    """Bring schemas/ up to date, and name what changed."""
    files = generated()
    for name in stale():
        path = FOLDER / name
        if name in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name])
        else:
            path.unlink()
        print(path)


def _run(args: argparse.Namespace) -> None:
    if not args.check:
        write()
    elif names := stale():
        raise UserError(f"schemas/: {', '.join(names)} differ from the code; run `spectrum schemas` and commit")


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("--check", action="store_true", help="write nothing; fail if any file differs")
    parser.set_defaults(func=_run)
