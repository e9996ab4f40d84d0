"""Time what `spectrum view` does at each touch of the page, over a made-up table of 10 million tokens.

    python benchmarks/view.py [--tokens 10_000_000] [--folder FOLDER] [--out benchmarks/view.csv]

The table is random numbers in the shape of a training run's log: steps of 500 responses of 1,000 tokens, one layer, and
the rows of 256 responses.  Each interaction is one HTTP request, from the question to the parsed answer.  It is asked
`REPEATS` times, after one that is not counted.  What is read once (opening, the first use of a column) is timed apart.
CPU seconds are of this whole process; wall seconds mean little on a machine that others use.  --folder keeps the table.
"""

import argparse
import csv
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import uvicorn

sys.path.insert(0, str(Path(__file__).parent))
from machine import cpu_name

from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.writer import write_file, write_manifest, write_step
from tokenspectrum.view.server import listen, make_app
from tokenspectrum.view.store import Store

RESPONSES, LENGTH, N_PROMPT, ROWS = 500, 1000, 100, 256
REPEATS, BUDGET_S = 9, 0.3
X, Y = "tokens.predictive_entropy", "attention.entropy_norm.1"
FIRST = {"run": "full", "seed": 1, "step": 1, "response": 7}


def write_table(artifacts: Path, n_tokens: int) -> None:
    """n_tokens tokens of run `full`, seeds of ten steps each."""
    rng = np.random.default_rng(0)
    words = [f" word{i}" for i in range(4096)]
    vocab = {"policy": ["p"] * len(words), "token_id": range(len(words)), "text": words, "type": ["word"] * len(words)}
    write_file(artifacts / "vocab/1/vocab.parquet", TABLES["vocab"], vocab)
    write_manifest(artifacts / "vocab/1")
    for i in range(n_tokens // (RESPONSES * LENGTH)):
        seed, step = 1 + i // 10, 1 + i % 10
        root = artifacts / "train" / f"full-s{seed}" / "tokenlog"
        keys = {"run": "full", "seed": seed, "step": step}
        for table, columns in step_tables(rng, words).items():
            write_step(root, table, TABLES[table], columns, **keys)
        if step == 10 or i == n_tokens // (RESPONSES * LENGTH) - 1:
            write_manifest(root)


def step_tables(rng: np.random.Generator, words: list[str]) -> dict[str, dict]:
    n = RESPONSES * LENGTH
    key = {"response_id": np.repeat(np.arange(RESPONSES), LENGTH), "position": np.tile(np.arange(LENGTH), RESPONSES)}
    ids = rng.integers(0, len(words), n)
    right = rng.random(RESPONSES) < 0.5
    texts = ["".join(words[i] for i in row) for row in ids.reshape(RESPONSES, LENGTH)]
    responses = {
        "response_id": np.arange(RESPONSES),
        "prompt_id": [f"prompt-{i // 8}" for i in range(RESPONSES)],
        "sample": np.arange(RESPONSES) % 8,
        "text": texts,
        "n_prompt": [N_PROMPT] * RESPONSES,
        "n_tokens": [LENGTH] * RESPONSES,
        "finish_reason": ["stop"] * RESPONSES,
        "reward": np.where(right, 1.0, -1.0),
        "reward_raw": np.where(right, 1.0, -1.0),
        "correct": right,
        "advantage": rng.normal(size=RESPONSES),
    }
    logprob = -rng.exponential(0.3, n)
    tokens = key | {"token_id": ids, "logprob": logprob, "rollout_logprob": logprob, "ratio": np.ones(n)}
    tokens |= {"predictive_entropy": rng.exponential(0.4, n), "advantage": np.repeat(responses["advantage"], LENGTH)}
    tokens |= {"weight": (rng.random(n) < 0.2).astype(float), "minibatch": np.zeros(n, int), "loss": rng.normal(size=n)}
    attention = key | {"layer": np.ones(n, int), "visible": key["position"] + N_PROMPT, "distance": rng.random(n) * 400}
    attention |= {"entropy_raw": rng.random(n) * 5, "entropy_norm": rng.random(n), "local_mass": rng.random(n)}
    at = np.arange(ROWS)
    rows = {"response_id": at, "position": at, "layer": np.ones(ROWS, int)}
    rows["row"] = pa.array([rng.random(N_PROMPT + i).astype(np.float16) for i in at], pa.list_(pa.float16()))
    return {"responses": responses, "tokens": tokens, "attention": attention, "attention_rows": rows}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def interactions() -> Iterator[tuple[str, str, list[dict]]]:
    """Name, question and its values: a question asked again has other values, as a hand's does."""
    some = range(REPEATS + 1)
    axes = {"x": X, "y": Y}
    yield "list", "responses", [{"offset": 50 * i} for i in some]
    yield "list, right ones by length", "responses", [{"correct": "yes", "sort": "length", "offset": i} for i in some]
    yield "list, text", "responses", [{"text": f"word{i} word"} for i in some]
    yield "list, brush", "responses", [axes | {"brush": f"{i / 30:.4f}..{(i + 21) / 30:.4f},0.16..0.8"} for i in some]
    yield (
        "list, brush and filter",
        "responses",
        [axes | {"brush": f"{i / 30:.4f}..{(i + 21) / 30:.4f},0.16..0.8", "correct": "yes"} for i in some],
    )
    yield "cloud of all", "cloud", [axes for _ in some]
    yield "cloud, right ones", "cloud", [axes | {"correct": "yes" if i % 2 else "no"} for i in some]
    yield "cloud, one step", "cloud", [axes | {"step_from": 1 + i % 10, "step_to": 1 + i % 10} for i in some]
    yield "cloud, text", "cloud", [axes | {"text": f"word{i} word"} for i in some]
    yield "response, the next", "response", [FIRST | {"response": 10 + i} for i in some]
    yield "response, of another step", "response", [FIRST | {"step": 1 + i % 10} for i in some]
    yield "attention row", "attention", [FIRST | {"response": i, "position": i} for i in some]


def measure(artifacts: Path, n_tokens: int) -> list[dict]:
    store = Store(artifacts)
    once = {"open: responses": store.refresh}
    once["first use: colours of a column"] = lambda: store.scale(X)
    listener = listen(0, 0)
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(make_app(store, "t", port), log_level="error", lifespan="off"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()

    def ask(name: str, values: dict) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", f"/t/api/{name}?{urlencode(values)}")
        reply = connection.getresponse()
        answer = json.loads(reply.read())
        assert reply.status == 200, answer
        connection.close()

    once["first use: the cloud of two columns"] = lambda: ask("cloud", {"x": X, "y": Y})
    out = []
    for name, work in once.items():
        wall, cpu = timed(work)
        out.append(row(name, n_tokens, "once", [wall], [cpu]))
    for name, question, values in interactions():
        times = [timed(lambda question=question, value=value: ask(question, value)) for value in values][1:]
        out.append(row(name, n_tokens, "interaction", [w for w, _ in times], [c for _, c in times]))
    server.should_exit = True
    return out


def row(name: str, n_tokens: int, kind: str, wall: list[float], cpu: list[float]) -> dict:
    print(f"{name}: {median(wall):.3f} s", file=sys.stderr)
    within = "" if kind == "once" else max(wall) <= BUDGET_S
    return {
        "what": name,
        "kind": kind,
        "tokens": n_tokens,
        "median_s": round(median(wall), 3),
        "worst_s": round(max(wall), 3),
        "cpu_s": round(median(cpu), 3),
        "worst_within_0.3_s": within,
        "load": round(os.getloadavg()[0], 1),
        "device": cpu_name(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where the table is, or is to be, instead of a temporary folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        artifacts = (args.folder or Path(temporary)) / "big"
        if not artifacts.exists():
            write_table(artifacts, args.tokens)
        rows = measure(artifacts, args.tokens)
    with args.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
