"""`spectrum schemas`: write what follows from the code: schemas/ and the reference in docs/params.md."""

import argparse
import json
from pathlib import Path

from tokenspectrum.errors import UserError

FOLDER = Path("schemas")
PAGE = Path("docs/params.md")
MARK = "<!-- From here on written by `spectrum schemas`. -->\n"


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
        about = " ".join((module.__doc__ or "").split())
        key = schema.metadata[b"key"].decode().split(",")
        files[f"tables/{name}.json"] = _text({"table": name, "about": about, "key": key, "columns": columns})
    return files


def page() -> tuple[str, str]:
    """docs/params.md as it is, and as it has to be: what people wrote in it, then the reference."""
    from snakedvc.yamlfile import load_yaml
    from tokenspectrum.cli.params_page import reference

    have = PAGE.read_text(encoding="utf-8")
    return have, have.partition(MARK)[0] + MARK + "\n" + reference(load_yaml(Path("dvc.yaml"))["stages"])


def stale() -> list[str]:
    """Files in schemas/ that differ from the code, are missing, or are left over."""
    want = generated()
    have = {p.relative_to(FOLDER).as_posix(): p.read_text(encoding="utf-8") for p in FOLDER.rglob("*.json")}
    return sorted(name for name in want.keys() | have.keys() if want.get(name) != have.get(name))


def write() -> None:
    """Bring schemas/ up to date, and name what changed."""
    files = generated()
    for name in stale():
        path = FOLDER / name
        if name in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name], encoding="utf-8")
        else:
            path.unlink()
        print(path)
    have, want = page()
    if have != want:
        PAGE.write_text(want, encoding="utf-8")
        print(PAGE)


def _run(args: argparse.Namespace) -> None:
    if not args.check:
        write()
        return
    have, want = page()
    if names := [*stale(), *([PAGE.as_posix()] if have != want else [])]:
        raise UserError(f"schemas/: {', '.join(names)} differ from the code; run `spectrum schemas` and commit")


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("--check", action="store_true", help="write nothing; fail if any file differs")
    parser.set_defaults(func=_run)
