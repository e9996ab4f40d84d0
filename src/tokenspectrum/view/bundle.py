"""The page as one script and one style: our modules in the order of their imports, each in a function of its own.

An exported page is opened from a folder, where a browser loads no modules; joined, they need no server.  Knows the
page's files by their import lines alone.
"""

import re
from collections.abc import Iterable
from importlib import resources

PAGE = resources.files("tokenspectrum.view") / "page"
STYLES = ("frame.css", "strip.css")
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|const|let) (\w+))", re.MULTILINE)


def script(entry: str = "main") -> str:
    """The module `entry` and all that it imports, as one classic script."""
    return "\n".join(_modules(entry, {}))


def style() -> str:
    """The page's styles, joined."""
    return "\n".join((PAGE / name).read_text(encoding="utf-8") for name in STYLES)


def _modules(name: str, done: dict[str, bool]) -> Iterable[str]:
    if name in done:
        if not done[name]:
            raise ValueError(f"{name}.js is part of a circle of imports")
        return
    done[name] = False
    text = (PAGE / f"{name}.js").read_text(encoding="utf-8")
    for _, other in _IMPORT.findall(text):
        yield from _modules(other, done)
    done[name] = True
    exported = _EXPORT.findall(text)
    text = _IMPORT.sub(lambda m: f"const {{{m[1]}}} = module_{m[2]};\n", text)
    text = _EXPORT.sub("", text)
    yield f'const module_{name} = (() => {{\n"use strict";\n{text}\nreturn {{ {", ".join(exported)} }};\n}})();'
