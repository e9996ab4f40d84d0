"""One response whole: its problem, every value of every token, and the attention rows that were logged.

Numbers travel as little-endian float32 or int32 in base64: exact, and small.  Knows no HTTP.
"""

import base64
import math
from copy import copy
from typing import Any

import numpy as np
import pyarrow as pa

from tokenspectrum.errors import UserError
from tokenspectrum.view import evaluated
from tokenspectrum.view.columns import PARTS
from tokenspectrum.view.read import align, response_rows, where
from tokenspectrum.view.sealed import checked, rows
from tokenspectrum.view.steps import Key, Step
from tokenspectrum.view.store import JUDGED, Store


def strip(store: Store, key: Key, response_id: int) -> dict[str, Any]:
    """Everything that the page shows of a response.  Raises UserError where there is none."""
    step, facts = _facts(store, key, response_id)
    with store.turn() as db:
        head, same = rows(db, checked(("same_prompt.sql",)), {"prompt": facts["prompt_id"]})
    problems, notes, tokens = store.problems, [], pa.table({})
    if "tokens" in step.files:
        tokens = response_rows(step.files["tokens"], response_id)
    elif "evaluated" in step.files:
        tokens = evaluated.tokens_of(step.files["evaluated"], response_id)
        notes.append("an evaluation sample: of its tokens, the sampler's log-probability alone is logged")
    else:
        notes.append("no tokens were logged at this step")
    ids = tokens["token_id"].to_pylist() if tokens.num_rows else []
    values: dict[str, np.ndarray] = {}
    if ids:
        position_T = tokens["position"].to_numpy().astype(np.int64)
        if "evaluated" in step.files:
            values[evaluated.COLUMN] = tokens["rollout_logprob"].to_numpy().astype(np.float32)
        for table in PARTS:
            if table in step.files:
                try:
                    values |= _values(store, step, table, response_id, position_T)
                except UserError as e:
                    notes.append(str(e))
    if odd := [name for name in JUDGED if facts[name] is not None and not math.isfinite(facts[name])]:
        notes.append(f"no finite number: {', '.join(odd)}")
    texts = problems.texts(ids)
    return {
        "facts": facts,
        "problem": problems.problem(facts["prompt_id"]),
        "ids": _ints(ids),
        "texts": {str(i): text for i, (text, _) in texts.items()},
        "types": {str(i): kind for i, (_, kind) in texts.items()},
        "values": {name: floats(value_T) for name, value_T in values.items()},
        "rows": _logged_rows(step, response_id),
        "same": [dict(zip(head[:-1], row[:-1], strict=True)) for row in same],
        "same_left_out": same[0][-1] - len(same) if same else 0,
        "notes": notes,
    }


def attention(store: Store, key: Key, response_id: int, position: int) -> dict[str, Any]:
    """The attention row of one token at each layer that it was logged at, and the tokens that it looked at."""
    step, facts = _facts(store, key, response_id)
    if "attention_rows" not in step.files:
        raise UserError("no attention rows were logged at this step")
    found = response_rows(step.files["attention_rows"], response_id)
    found = where(found, "position", position)
    if not found.num_rows:
        raise UserError(f"the attention row of token {position} was not logged")
    layers = {
        str(layer): floats(np.asarray(row, np.float32))
        for layer, row in zip(found["layer"].to_pylist(), found["row"].to_pylist(), strict=True)
    }
    prompt = _prompt_ids(store, facts)
    texts = store.problems.texts(prompt or [])
    shown = None if prompt is None else [texts[i][0] for i in prompt]
    return {"layers": layers, "n_prompt": facts["n_prompt"], "prompt": shown}


def _facts(store: Store, key: Key, response_id: int) -> tuple[Step, dict[str, Any]]:
    run, seed, step = key
    with store.turn() as db:
        values = {"run": run, "seed": seed, "step": step, "response_id": response_id}
        head, found = rows(db, checked(("response.sql",)), values)
        shown = copy(store.steps.get(key))  # its files may be others by the next line
    if not found or shown is None:
        raise UserError(f"run {run} seed {seed} step {step}: no response {response_id} is shown here")
    return shown, dict(zip(head, found[0], strict=True))


def _values(store: Store, step: Step, table: str, response_id: int, position_T: np.ndarray) -> dict[str, np.ndarray]:
    """float32 T of each column of a table that has a value in this response."""
    found = response_rows(step.files[table], response_id)
    out = {}
    for column in store.columns():
        # A file of an older version may lack the column: then its tokens have no value.
        if column.table != table or column.field not in found.column_names:
            continue
        mine, key = found, PARTS[table]
        if key is not None:
            mine = where(found, key, column.part)
        if mine.num_rows:
            number_M = mine[column.field].cast(pa.float32()).to_numpy(zero_copy_only=False)
            value_T = align(position_T, mine["position"].to_numpy().astype(np.int64), number_M)
            if np.isfinite(value_T).any():
                out[column.id] = value_T
    return out


def _logged_rows(step: Step, response_id: int) -> dict[str, list[int]]:
    """Layers of the attention rows of this response, by position."""
    logged: dict[str, list[int]] = {}
    if "attention_rows" in step.files:
        try:
            found = response_rows(step.files["attention_rows"], response_id)
        except UserError:
            return {}
        for position, layer in zip(found["position"].to_pylist(), found["layer"].to_pylist(), strict=True):
            logged.setdefault(str(position), []).append(layer)
    return logged


def _prompt_ids(store: Store, facts: dict[str, Any]) -> list[int] | None:
    logged = None
    for path in store.files("prompt_tokens"):
        found = _prompt_tokens(path).get(facts["prompt_id"])
        logged = found if logged is None else logged
    return store.problems.prompt_ids(facts["prompt_id"], facts["n_prompt"], logged)


def _prompt_tokens(path: Any) -> dict[str, list[int]]:
    from tokenspectrum.tokenlog.reader import read_file

    table = read_file(path, columns=["prompt_id", "token_ids"])
    return dict(zip(table["prompt_id"].to_pylist(), table["token_ids"].to_pylist(), strict=True))


def floats(value: np.ndarray) -> str:
    """float32 values in base64."""
    return base64.b64encode(np.ascontiguousarray(value, "<f4").tobytes()).decode()


def _ints(values: list[int]) -> str:
    return base64.b64encode(np.asarray(values, "<i4").tobytes()).decode()
