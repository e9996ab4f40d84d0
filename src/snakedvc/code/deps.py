"""Write each stage's code deps into dvc.yaml, or say where they differ from the import closures.

Code deps come in two forms.  The lines of single files are written here.  A folder is written by hand and stays:

    - src/pkg/backends/${train.backend}        only the folder that the params select is in the key
    - src/pkg/rules                            the whole folder

The files in such folders get no lines of their own, but the files that they import from outside do.  Code that the
settings keep out of the key (settings.py) gets no line either.  Everything else in dvc.yaml keeps its bytes.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from snakedvc.code.closure import Modules, closure, module_file
from snakedvc.code.scans import keep
from snakedvc.dvcfiles.digest import IGNORED, file_md5
from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.pipeline import Pipeline
from snakedvc.dvcfiles.record import CODE_ROOT
from snakedvc.dvcfiles.records import write_atomically
from snakedvc.dvcfiles.templates import DVC_YAML, VARIABLE
from snakedvc.errors import ProjectError
from snakedvc.settings import Settings, load_settings, under

# The `state` in which nothing had drifted.
EXACT = Path(".dvc/tmp/deps.exact")
_MODULE = re.compile(r"(?:^|\s)-m\s+([\w.]+)")


def entry_modules(name: str, template: Mapping[str, Any]) -> list[str]:
    """The module that a stage's command runs with `python -m`, and first-party modules among its arguments."""
    match = _MODULE.search(template["cmd"])
    if match is None:
        raise ProjectError(
            f"{DVC_YAML}: stage {name}: its command must run `python -m MODULE`, so that its code can be found"
        )
    return [match.group(1), *(word for word in template["cmd"].split() if "." in word and module_file(word))]


def is_folder(dep: str) -> bool:
    """Whether `dep` is a folder of code.  Params may select it."""
    return dep.startswith(CODE_ROOT) and (VARIABLE.search(dep) is not None or Path(dep).is_dir())


def choices(dep: str) -> list[str]:
    """The folders that the folder dep `dep` may mean: itself, or all that params may select."""
    if not VARIABLE.search(dep):
        return [dep]
    return sorted(p.as_posix() for p in Path().glob(VARIABLE.sub("*", dep)) if any(p.glob("*.py")))


def _check_choices(name: str, files: list[str], dep: str, modules: Modules) -> None:
    """Refuse an import that would fail as soon as the params select another folder."""
    folders = tuple(choices(dep))
    for file in files:
        own = [f for f in folders if under(file, (f,))]
        for found in sorted(f for f in modules.early(file) if under(f, folders)):
            if not under(found, tuple(own)):
                raise ProjectError(
                    f"{file}: imports {found} at its top, but stage {name} has only the folder {dep} of the params: "
                    "import it inside the function that needs it"
                )


def wanted_code(name: str, template: Mapping[str, Any], settings: Settings, modules: Modules) -> list[str]:
    """The code files that stage `name` has to list, sorted."""
    deps = template.get("deps", [])
    folders = [d for d in deps if is_folder(d)]
    whole = tuple(choice for dep in folders for choice in choices(dep))
    entries = entry_modules(name, template)
    files = sorted({path for entry in entries for path in closure(entry, whole, settings.keyed_by, modules)})
    for dep in filter(VARIABLE.search, folders):
        _check_choices(name, files, dep, modules)
    unlisted = (*whole, *settings.in_no_key([d for d in deps if not d.startswith(CODE_ROOT)]))
    return [f for f in files if not under(f, unlisted)]


def _listed(template: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """(position, path) of the single code files among a stage's deps."""
    for i, dep in enumerate(template.get("deps", [])):
        if dep.startswith(CODE_ROOT) and not is_folder(dep):
            yield i, dep


def drift(pipeline: Pipeline) -> list[str]:
    """One line for each code dep that dvc.yaml lacks or does not need; empty if all are exact."""
    lines, settings, modules = [], load_settings(), Modules()
    for name, template in pipeline.templates.items():
        wanted, listed = wanted_code(name, template, settings, modules), {path for _, path in _listed(template)}
        lines += [f"stage {name} lacks the dep {path}" for path in wanted if path not in listed]
        lines += [f"stage {name} lists {path}, which it does not use" for path in sorted(listed - set(wanted))]
    return lines


def was_exact(mark: str) -> bool:
    """Whether `state` was `mark` when nothing had drifted."""
    with contextlib.suppress(OSError):
        return EXACT.read_text() == mark
    return False


def note_exact(mark: str) -> None:
    """Remember that nothing has drifted where `state` is `mark`."""
    keep()  # after the next edit, all other files are as they are now
    with contextlib.suppress(OSError):  # of a project that cannot be written, nothing is remembered
        write_atomically(EXACT, mark, sync=False)


def note_if_exact() -> None:
    """Look, and remember it if nothing has drifted.  A mistake elsewhere in the project is for the plan to tell."""
    with contextlib.suppress(ProjectError):
        pipeline = load_pipeline()
        now = state(pipeline)
        if not drift(pipeline) and state(pipeline) == now:  # nobody edited a file meanwhile
            note_exact(now)


def state(pipeline: Pipeline) -> str:
    """A hash of all that `drift` looks at (each file below src, stages, settings), and of its own code and Python."""
    found = hashlib.sha256()
    for root, folders, names in os.walk(CODE_ROOT, followlinks=True):
        folders[:] = sorted(f for f in folders if f not in IGNORED)
        found.update(repr((root, folders)).encode())
        for path in (os.path.join(root, name) for name in sorted(names)):
            with contextlib.suppress(FileNotFoundError):  # a link to nothing
                found.update(f"{path} {file_md5(Path(path))}".encode())
    settings = load_settings()
    others = [pipeline.templates, settings.systems_code, settings.keyed_by, sys.version]
    found.update(json.dumps(others, sort_keys=True, default=str).encode())
    for reader in sorted(Path(__file__).parent.glob("*.py")):
        found.update(reader.read_bytes())
    return found.hexdigest()


def rewritten(text: str) -> str:
    """dvc.yaml's text with exact code deps, before the data deps."""
    document = YAML().load(text)
    lines, settings, modules = text.splitlines(keepends=True), load_settings(), Modules()
    # Work from the last stage to the first, so that the line numbers of earlier stages stay right.
    stages = sorted(document["stages"].items(), key=lambda item: item[1].lc.line, reverse=True)
    for name, template in stages:
        wanted = wanted_code(name, template, settings, modules)
        if "deps" not in template:
            raise ProjectError(f"{DVC_YAML}: stage {name} has no deps: write `deps: []` in block style below its cmd")
        deps = template["deps"]
        key_line, key_column = template.lc.key("deps")
        if len(deps) == 0:
            lines[key_line] = lines[key_line].split("deps:")[0] + "deps:\n"
        elif deps.fa.flow_style():
            raise ProjectError(f"{DVC_YAML}: stage {name}: deps must be a block list, one path a line")
        indent = " " * (deps.lc.item(0)[1] - 2 if len(deps) else key_column + 2)
        for i, _ in reversed(list(_listed(template))):
            del lines[deps.lc.item(i)[0]]
        lines[key_line + 1 : key_line + 1] = [f"{indent}- {path}\n" for path in wanted]
    return "".join(lines)


def write_deps() -> bool:
    """Bring dvc.yaml up to date.  Returns whether anything changed."""
    old = DVC_YAML.read_text(encoding="utf-8")
    new = rewritten(old)
    if new != old:
        write_atomically(DVC_YAML, new)
    return new != old
