"""Write each stage's code deps into dvc.yaml, or tell where they have drifted from the import closures.

Only the lines of code deps change; comments, order and everything else in dvc.yaml stay byte for byte.
"""

import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from snakedvc.code.closure import closure
from snakedvc.dvcfiles.pipeline import CODE_ROOT, DVC_YAML, Pipeline
from snakedvc.dvcfiles.records import write_atomically
from snakedvc.errors import ProjectError

_MODULE = re.compile(r"(?:^|\s)-m\s+([\w.]+)")


def entry_module(name: str, template: Mapping[str, Any]) -> str:
    """The module that a stage's command runs with `python -m`."""
    match = _MODULE.search(template["cmd"])
    if match is None:
        raise ProjectError(
            f"{DVC_YAML}: stage {name}: its command must run `python -m MODULE`, so that its code can be found"
        )
    return match.group(1)


def wanted_code(templates: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """The exact code deps of every stage template."""
    return {name: closure(entry_module(name, template)) for name, template in templates.items()}


def drift(pipeline: Pipeline) -> list[str]:
    """One line for each code dep that dvc.yaml lacks or lists without need; empty if it is exact."""
    lines = []
    for name, wanted in wanted_code(pipeline.templates).items():
        listed = {d for d in pipeline.templates[name].get("deps", []) if d.startswith(CODE_ROOT)}
        lines += [f"stage {name} lacks the dep {path}" for path in wanted if path not in listed]
        lines += [f"stage {name} lists {path}, which it does not use" for path in sorted(listed - set(wanted))]
    return lines


def rewritten(text: str) -> str:
    """dvc.yaml's text with exact code deps, before the data deps."""
    document = YAML().load(text)
    lines = text.splitlines(keepends=True)
    # From the last stage to the first, so that line numbers above stay right.
    stages = sorted(document["stages"].items(), key=lambda item: item[1].lc.line, reverse=True)
    for name, template in stages:
        wanted = closure(entry_module(name, template))
        if "deps" not in template:
            raise ProjectError(f"{DVC_YAML}: stage {name} has no deps: write `deps: []` in block style below its cmd")
        deps = template["deps"]
        key_line, key_column = template.lc.key("deps")
        code_lines = [deps.lc.item(i)[0] for i, dep in enumerate(deps) if dep.startswith(CODE_ROOT)]
        if len(deps) == 0:
            lines[key_line] = lines[key_line].split("deps:")[0] + "deps:\n"
        elif deps.fa.flow_style():
            raise ProjectError(f"{DVC_YAML}: stage {name}: deps must be a block list, one path a line")
        indent = " " * (deps.lc.item(0)[1] - 2 if len(deps) else key_column + 2)
        for line in reversed(code_lines):
            del lines[line]
        lines[key_line + 1 : key_line + 1] = [f"{indent}- {path}\n" for path in wanted]
    return "".join(lines)


def write_deps() -> bool:
    """Bring dvc.yaml up to date; whether anything changed."""
    old = DVC_YAML.read_text()
    new = rewritten(old)
    if new != old:
        write_atomically(DVC_YAML, new)
    return new != old
