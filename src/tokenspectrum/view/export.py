"""One file with chosen responses: the page, its script and its data, to be opened from a folder, without a network.

The data is JSON in a script element of a type that no browser runs.  Every `<` in it is escaped, so that no text ends
the element.  The page's own policy allows its one script and style by their hashes and no request at all.
"""

import base64
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tokenspectrum.errors import UserError
from tokenspectrum.tokenlog.writer import atomic_path
from tokenspectrum.view.bins import make_scale
from tokenspectrum.view.bundle import PAGE, script, style
from tokenspectrum.view.filters import Filters
from tokenspectrum.view.plain import to_json
from tokenspectrum.view.read import column_values
from tokenspectrum.view.sealed import checked, rows
from tokenspectrum.view.steps import Key
from tokenspectrum.view.store import Store
from tokenspectrum.view.strip import attention, strip


@dataclass(frozen=True)
class Wanted:
    """Which responses: all that match, up to `limit`, in the order of run, seed, step and response."""

    runs: list[str]
    seeds: list[int]
    step: int | None
    prompt: str
    limit: int


def export(store: Store, wanted: Wanted, path: Path) -> int:
    """Write the page; how many responses it carries.  Raises UserError if none matches."""
    store.refresh()
    runs, seeds, step = tuple(wanted.runs), tuple(wanted.seeds), wanted.step
    filters = Filters(runs=runs, seeds=seeds, step_from=step, step_to=step, prompt=wanted.prompt)
    with store.turn() as db:
        _, keys = rows(db, checked(("matching.sql", "exported.sql")), filters.values() | {"limit": wanted.limit})
    if not keys:
        reason = "; ".join(store.notices) or "check --run, --seed, --step and --prompt"
        raise UserError(f"view: no response to export matches ({reason})")
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(page(carried(store, keys)), encoding="utf-8")
    except OSError as e:
        raise UserError(f"{path}: cannot be written ({e.strerror})") from None
    return len(keys)


def carried(store: Store, keys: list[tuple[str, int, int, int]]) -> dict[str, Any]:
    """Everything that the page will ask for: the state, the rows of the list, strips, attention rows and scales."""
    names = {"/".join(map(str, key)): (key[:3], key[3]) for key in keys}
    steps = {key for key, _ in names.values()}
    strips = {name: strip(store, *key) for name, key in names.items()}
    logged = [(name, position) for name, body in strips.items() for position in body["rows"]]
    for body in strips.values():  # to compare with: what the page has
        body["same"], body["same_left_out"] = [row for row in body["same"] if _name(row) in names], 0
    used = {column for body in strips.values() for column in body["values"]}
    state = store.state()
    state["columns"] = [column for column in state["columns"] if column["id"] in used]
    state["runs"] = [
        entry | {"live": False, "steps": [s for s in entry["steps"] if (entry["run"], entry["seed"], s) in steps]}
        for entry in state["runs"]
        if (entry["run"], entry["seed"]) in {key[:2] for key in steps}
    ]
    return {
        "state": state,
        "rows": [body["facts"] for body in strips.values()],
        "strips": strips,
        "attention": {f"{name}/{at}": attention(store, *names[name], int(at)) for name, at in logged},
        "scales": _scales(store, used, sorted(steps)),
    }


def _scales(store: Store, used: set[str], keys: list[Key]) -> dict[str, Any]:
    """A scale for each column over all tokens of the steps that the page shows something of."""
    out = {}
    for column in store.columns():
        if column.id in used:
            values = [column_values(store.steps[key], column) for key in keys if store.steps[key].has_tokens]
            out[column.id] = asdict(make_scale(np.concatenate([np.zeros(0, np.float32), *values]), column.centre))
    return out


def page(data: dict[str, Any]) -> str:
    """The whole file."""
    code, look = script(), style()
    allowed = f"script-src '{_hash(code)}'; style-src '{_hash(look)}'"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{look}</style>\n'
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith(("<link", "<script"))]
    text = "".join(lines).replace("</head>", head + "</head>")
    body = to_json(data).replace("<", "\\u003c")
    return text.replace(
        "</body>", f'<script type="application/json" id="carried">{body}</script>\n<script>{code}</script>\n</body>'
    )


def _name(row: dict[str, Any]) -> str:
    return f"{row['run']}/{row['seed']}/{row['step']}/{row['response_id']}"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
