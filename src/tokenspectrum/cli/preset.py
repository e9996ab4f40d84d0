"""`spectrum preset`: make a preset whole, as params.yaml.  Knows files, not what is in them."""

import argparse
import hashlib
import os
import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.presets import FOLDER, about, names, read_preset
from tokenspectrum.params.render import render
from tokenspectrum.params.yaml_checked import read_yaml

PARAMS = Path("params.yaml")
BACKUPS = Path("backups")  # git ignores it
KEPT = 20
SEAL = "# As written by `spectrum preset`: "


def sealed(text: str) -> str:
    """`text` with a last line that tells whether it was edited since."""
    return f"{text}\n{SEAL}{hashlib.sha256(text.encode()).hexdigest()[:16]}\n"


def is_edited(text: str) -> bool:
    """Whether params.yaml holds something that no preset gives back."""
    body, found, _ = text.rpartition(f"\n{SEAL}")
    return not found or sealed(body) != text


def back_up(path: Path) -> Path:
    """Keep a copy of `path` in backups/, the newest twenty of them; a copy that is there already is enough."""
    content = path.read_bytes()
    have = sorted(BACKUPS.glob(f"{path.stem}-*{path.suffix}"))
    for known in have:
        if known.read_bytes() == content:
            return known
    BACKUPS.mkdir(exist_ok=True)
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    when = time.strftime("%Y%m%d-%H%M%S", time.localtime(seconds))
    copy = BACKUPS / f"{path.stem}-{when}-{nanoseconds:09d}{path.suffix}"
    copy.write_bytes(content)
    for old in have[: max(0, len(have) + 1 - KEPT)]:
        old.unlink()
    return copy


def changes(settings: Sequence[str]) -> dict[str, Any]:
    """`train.steps=3` as {"train.steps": 3}: the value is read as YAML."""
    found = {}
    for setting in settings:
        field, equals, value = setting.partition("=")
        if not equals or not re.fullmatch(r"\w[\w.-]*", field):
            raise UserError(f"--set {setting}: write FIELD=VALUE, for example train.steps=3")
        found[field] = read_yaml(Path(f"--set {field}"), f"value: {value}").data["value"]
    return found


def note(name: str, settings: Sequence[str]) -> str:
    """What params.yaml says of itself."""
    command = shlex.join(["spectrum", "preset", name, *(word for s in settings for word in ("--set", s))])
    return (
        f"`{command}` wrote this file: presets/{name}.yaml, what it extends, and the models' defaults, whole.\n"
        "Edit it to try something; what is to stay goes into a preset of your own.  docs/params.md says how."
    )


def choose(name: str, force: bool, settings: Sequence[str] = ()) -> str:
    """Write preset `name` to params.yaml, whole; an edited one is only replaced with `force`, and then backed up."""
    text = sealed(render(read_preset(name, changes=changes(settings)), note(name, settings)))
    old = PARAMS.read_text(encoding="utf-8", errors="replace") if PARAMS.exists() else None
    if old == text:
        return f"params.yaml is preset {name} already"
    kept = ""
    if old is not None and is_edited(old):
        if not force:
            raise UserError(
                "params.yaml: edited by hand and would be lost; add --force to replace it (a backup is kept)"
            )
        kept = f" (the old one is {back_up(PARAMS)})"
    temporary = PARAMS.with_suffix(f".tmp{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(PARAMS)
    return f"params.yaml is now preset {name}{kept}"


def again() -> str:
    """Write params.yaml anew, by the command that wrote it, where nobody edited it since."""
    text = PARAMS.read_text(encoding="utf-8")
    if is_edited(text):
        return "params.yaml: edited by hand, so it stays as it is; write what it lacks there"
    written = re.search(r"`spectrum preset (.*)` wrote this file", text)
    assert written is not None, "every seal stands under that line"
    name, *words = shlex.split(written.group(1))
    return choose(name, force=False, settings=[word for word in words if word != "--set"])


def show() -> None:
    """Each preset with the first sentence of its file; the one that params.yaml is has a mark."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    text = PARAMS.read_text(encoding="utf-8", errors="replace") if PARAMS.exists() else ""
    now = re.search(r"^preset: *(\S+)", text, re.MULTILINE)
    table = Table("", "preset", "what", box=None)
    for name in names():
        first = re.match(r".*?[.?!](?=\s|$)", " ".join(about(FOLDER / f"{name}.yaml").split()))
        table.add_row("*" if now and now[1] == name else "", Text(name), Text(first[0] if first else ""))
    Console().print(table)


def _run(args: argparse.Namespace) -> None:
    if args.name is None and args.set:
        raise UserError(f"--set: name the preset too; there are {', '.join(names())}")
    if args.name:
        print(choose(args.name, args.force, args.set))
    else:
        show()


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("name", nargs="?", help="the preset; without it, the presets are listed")
    parser.add_argument("--force", action="store_true", help="replace an edited params.yaml, keeping a backup")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field, such as train.steps=3"
    )
    parser.set_defaults(func=_run)
