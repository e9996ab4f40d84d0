"""The results' stages in dvc.yaml, written from their declarations.  Knows dvc.yaml's text, and no stage but these.

Code deps are not written here: they are the import closures, which snakedvc.code.deps puts in.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.results.declare import Result
from tokenspectrum.results.sources import SOURCES

HEADING = """\
  # Results: from here on, all is written by `spectrum deps` from the folders of src/tokenspectrum/results/.
"""


def stage(result: Result) -> dict[str, Any]:
    """Its entry under `stages`, without code deps."""
    folders = {source: f"artifacts/${{preset}}/{SOURCES[source].folder}" for source in result.reads}
    if result.folder:
        folders["folder"] = f"${{{result.section}.{result.folder}}}"
    options = [f"--{name} {path}" for name, path in [*folders.items(), *result.outs.items()]]
    entry: dict[str, Any] = {
        "desc": result.title,
        "cmd": [f"python -m tokenspectrum.stages.result {result.module}", *options],
        "deps": sorted(folders.values()),
        "params": list(result.models),
        "outs": list(result.outs.values()),
    }
    if result.own_methods:
        entry["meta"] = {"only": {"method": f"{result.section}.methods"}}
    return entry


def block(result: Result) -> str:
    """The same as dvc.yaml's text."""
    entry = stage(result)
    lines = [f"  # {result.question}", f"  {result.name}:", f"    desc: {entry['desc']}", "    cmd: >-"]
    lines += [f"      {part}" for part in entry["cmd"]]
    for key in ("deps", "params", "outs"):
        if entry[key]:
            lines += [f"    {key}:", *(f"      - {value}" for value in entry[key])]
    if "meta" in entry:
        lines += ["    meta:", "      only:"]
        lines += [f"        {axis}: {name}" for axis, name in entry["meta"]["only"].items()]
    return "\n".join(lines) + "\n"


def with_results(text: str, results: Mapping[str, Result]) -> str:
    """dvc.yaml's text with these results' stages below the heading, in the place of those that stood there.

    A dvc.yaml without the heading has no results: another project's.
    """
    if HEADING not in text:
        return text
    kept = text.split(HEADING)[0].rstrip("\n")
    return f"{kept}\n\n{HEADING}\n" + "\n".join(block(result) for result in results.values())


def drifted(text: str, results: Mapping[str, Result]) -> Iterator[str]:
    """One line for each result whose stage in dvc.yaml's text is not the one declared; nothing if all are."""
    if HEADING not in text:
        return
    written = "".join(
        line for line in text.partition(HEADING)[2].splitlines(keepends=True) if not line.startswith("      - src/")
    )
    names = re.findall(r"^  (\w+):$", written, re.MULTILINE)
    for name, result in results.items():
        if name not in names:
            yield f"result {name} has no stage"
        elif block(result) not in written:
            yield f"stage {name} is not as results/{name} declares it"
    yield from (f"stage {name} is of no result" for name in names if name not in results)


def check_stages(results: Mapping[str, Result], path: Path = Path("dvc.yaml")) -> None:
    """UserError with the first result whose stage in dvc.yaml is not the one declared."""
    for line in drifted(path.read_text(), results):
        raise UserError(f"{path}: {line}: run `spectrum results --write`")
