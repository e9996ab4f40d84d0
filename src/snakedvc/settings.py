"""What a project tells the bridge, in `[tool.snakedvc]` of its pyproject.toml.  Every entry may be left out.

    [tool.snakedvc]
    systems-code = ["src/pkg/cluster"]       # code that decides no result
    systems-params = ["systems"]             # sections of params.yaml that decide no result
    named-files = "pkg.files:named"          # function of (stage, params): paths of files that params name
    [tool.snakedvc.keyed-by]
    "src/pkg/rules" = "code.json"            # a folder of code whose hash travels in a file of this name

Systems code and systems params go into a stage's frozen copy and its provenance.  They are in no key.  A folder of
`keyed-by` is not in the key of a stage that has an input with the file's name.  That file holds the hash of the part of
the code that counts.  It may be JSON with files of code under `also`, each with its sha256: the stage's frozen copy
gets them too.

What `named-files` returns for a stage of dvc.yaml are its deps beside those that are listed there.  DVC's language has
no way to list the paths that stand in a list of params.
"""

import pkgutil
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakedvc.errors import ProjectError

PYPROJECT = Path("pyproject.toml")
NamedFiles = Callable[[str, Mapping[str, Any]], list[str]]


def no_files(stage: str, params: Mapping[str, Any]) -> list[str]:
    """That params name no file."""
    return []


@dataclass(frozen=True)
class Systems:
    """What a stage gets although it is in no key: paths of code, and sections of params with their values."""

    code: tuple[str, ...]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Settings:
    """The settings of one project."""

    systems_code: tuple[str, ...] = ()
    systems_params: tuple[str, ...] = ()
    keyed_by: Mapping[str, str] = field(default_factory=dict)
    named_files: NamedFiles = no_files
    # The names of the libraries that the project depends on, for provenance.
    libraries: tuple[str, ...] = ()

    def systems(self, data: Iterable[str], params: Mapping[str, Any]) -> Systems:
        """What a stage with these data deps gets although it is in no key."""
        return Systems(self.in_no_key(data), {name: params[name] for name in self.systems_params if name in params})

    def in_no_key(self, data: Iterable[str]) -> tuple[str, ...]:
        """Folders and files of code that are not in the key of a stage with these data deps."""
        names = {Path(d).name for d in data}
        return (*self.systems_code, *(folder for folder, file in self.keyed_by.items() if file in names))


def under(path: str, folders: tuple[str, ...]) -> bool:
    """Whether `path` is one of `folders`, or lies in one."""
    return any(path == f or path.startswith(f + "/") for f in folders)


def _texts(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = table.get(name, [])
    if not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
        raise ProjectError(f"{PYPROJECT}: [tool.snakedvc] {name}: must be a list of texts (got {value!r})")
    return tuple(v.rstrip("/") for v in value)


def _function(name: Any) -> NamedFiles:
    if name is None:
        return no_files
    try:
        return pkgutil.resolve_name(name)
    except (TypeError, ValueError, ImportError, AttributeError) as e:
        raise ProjectError(f"{PYPROJECT}: [tool.snakedvc] named-files: {name!r}: not module:function ({e})") from None


def load_settings(path: Path = PYPROJECT) -> Settings:
    """The settings of the project in the current folder; the defaults if it has no pyproject.toml."""
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Settings()
    except tomllib.TOMLDecodeError as e:
        raise ProjectError(f"{path}: not valid TOML: {e}") from None
    table = document.get("tool", {}).get("snakedvc", {})
    if unknown := sorted(set(table) - {"systems-code", "systems-params", "keyed-by", "named-files"}):
        raise ProjectError(f"{path}: [tool.snakedvc] {unknown[0]}: unknown key; remove it or check its spelling")
    keyed_by = table.get("keyed-by", {})
    if not (isinstance(keyed_by, dict) and all(isinstance(v, str) for v in keyed_by.values())):
        raise ProjectError(f"{path}: [tool.snakedvc] keyed-by: must map a folder to the name of a file")
    code = _texts(table, "systems-code")
    for folder in (*code, *keyed_by):
        if not Path(folder).exists():
            raise ProjectError(f"{path}: [tool.snakedvc] names {folder}, which is not there")
    asked = document.get("project", {}).get("dependencies", [])
    return Settings(
        systems_code=code,
        systems_params=_texts(table, "systems-params"),
        keyed_by={folder.rstrip("/"): file for folder, file in keyed_by.items()},
        named_files=_function(table.get("named-files")),
        libraries=tuple(re.split(r"[^\w.-]", requirement)[0] for requirement in asked),
    )
