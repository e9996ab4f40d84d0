"""A small preset with hostile token texts, written with the token log's own writer, a server over it, and its page."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import uvicorn
from kit import tables

from tokenspectrum.prompts.problem import Problem
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.writer import write_file, write_manifest, write_step
from tokenspectrum.view.server import listen, make_app
from tokenspectrum.view.store import Store

TOKEN = "test-token"
# What no page may run, turn round or swallow; a character in three bytes over two tokens, and a byte that is none.
HOSTILE = (
    "<script>window.hacked=1</script>",
    "</script>",
    "<img src=x onerror=window.hacked=1>",
    '"',
    "'",
    "&lt;b&gt;",
    "${window.hacked=1}",
    "שלום",
    " مرحبا",
    "\u202e",
    "😀",
    "👨\u200d👩\u200d👧",
    "\u0301",
    "\x00",
    "\n",
    "\n\n",
    "  ",
    "\t",
    "\u2028",
    "<0xE2><0x88>",
    "<0x91>",
    "<0xFF>",
    "",
)
PLAIN = ("the", " sum", " is", " so", "7", "+", "\\boxed", "{", "}")
VOCAB = (*HOSTILE, *PLAIN)
LAYERS = (0, 1)
N_PROMPT = 4
LENGTHS = (len(HOSTILE), 1, 2, 40, 7, 30)
KEYS = [("base", 0, 0), *(("full", seed, step) for seed in (1, 2) for step in (1, 2))]


def token_columns(rng: np.random.Generator, lengths: tuple[int, ...] = LENGTHS) -> dict:
    """Tokens of one step; the first response is every hostile text in order.  Few distinct scores, so that many tie."""
    columns = tables.token_columns(rng, lengths, len(HOSTILE), len(VOCAB))
    columns["token_id"][: len(HOSTILE)] = range(len(HOSTILE))
    return columns


def attention_columns(rng: np.random.Generator, tokens: dict, layers: tuple[int, ...]) -> dict:
    return tables.attention_columns(rng, tokens, layers, N_PROMPT)


def response_columns(lengths: tuple[int, ...] = LENGTHS) -> dict:
    n = len(lengths)
    right = np.arange(n) % 2 == 0
    return tables.response_columns(
        lengths,
        prompt_id=[f"prompt-{i // 3}" for i in range(n)],
        sample=np.arange(n) % 3,
        text=["".join(HOSTILE), *(f"so \\boxed{{{i}}}" for i in range(1, n))],
        n_prompt=[N_PROMPT] * n,
        answer=[str(i) for i in range(n)],
        reward=np.where(right, 1.0, -1.0) - np.arange(n) / 10,
        reward_raw=np.where(right, 1.0, -1.0),
        correct=right,
        advantage=np.where(right, 0.5, -0.5),
    )


def write_tables(root: Path, key: tuple[str, int, int], layers: tuple[int, ...] = LAYERS, **more) -> None:
    """One step of one run, its attention last, as the trainers do; rows of tokens 0 and 3 of responses 0 and 3."""
    run, seed, step = key
    keys = {"run": run, "seed": seed, "step": step}
    rng = np.random.default_rng([seed, step])
    tokens = token_columns(rng, more.get("lengths", LENGTHS))
    write_step(root, "responses", TABLES["responses"], response_columns(more.get("lengths", LENGTHS)), **keys)
    write_step(root, "tokens", TABLES["tokens"], tokens, **keys)
    if layers:
        at = [(r, p) for r in (0, 3) for p in (0, 3)] * len(layers)
        rows = [np.full(N_PROMPT + p, 1 / (N_PROMPT + p), np.float16) for _, p in at]
        for row in rows:
            row[1] = 0.5
        columns = {"response_id": [r for r, _ in at], "position": [p for _, p in at]}
        columns |= {"layer": np.repeat(layers, 4), "row": pa.array(rows, pa.list_(pa.float16()))}
        write_step(root, "attention_rows", TABLES["attention_rows"], columns, **keys)
        write_step(root, "attention", TABLES["attention"], attention_columns(rng, tokens, layers), **keys)


def write_prompts(root: Path) -> None:
    problems = [Problem("small", "What is <b>1 + 1</b>?", "2"), Problem("other", "And\nthen?", "2")]
    columns = tables.prompt_columns(problems, ids=["prompt-0", "prompt-1"])
    write_file(root / "train.parquet", TABLES["prompts"], columns)
    write_manifest(root)


def write_preset(artifacts: Path, layers: tuple[int, ...] = LAYERS) -> Path:
    """prompts, vocab, the probe of the base policy with weights and prompt tokens, and run `full` under two seeds."""
    write_prompts(artifacts / "prompts" / "train")
    tables.write_vocab(artifacts / "vocab/0", "p", VOCAB, ["word"] * len(VOCAB))
    for run, seed, step in KEYS:
        root = artifacts / (f"rollouts/{seed}" if run == "base" else f"train/{run}-s{seed}/tokenlog")
        write_tables(root, (run, seed, step), layers if run == "base" else layers[-1:])
        if run == "base":
            keys = {"run": run, "seed": seed, "step": step}
            prompt = {"prompt_id": ["prompt-0"], "token_ids": [[0, 23, 24, 25]], "n_dropped": [0]}
            write_step(root, "prompt_tokens", TABLES["prompt_tokens"], prompt, **keys)
            n = sum(LENGTHS)
            weights = tables.places(LENGTHS)
            weights |= {"rule": ["anchor20"] * n, "score": np.linspace(0, 1, n), "selected": np.arange(n) % 2 == 0}
            weights["weight"] = np.ones(n)
            write_step(artifacts / f"weights/anchor20-b{seed}/table", "weights", TABLES["weights"], weights, **keys)
            write_manifest(artifacts / f"weights/anchor20-b{seed}/table")
        write_manifest(root)
    return artifacts


def write_evaluation(artifacts: Path, run: str = "full", seed: int = 1) -> None:
    """Two samples of a problem on benchmark B, the first every hostile text and wrong, and one of a problem on A."""
    keys = {"run": run, "seed": seed, "step": 2}
    ids = {"A": [[24, 25]], "B": [list(range(len(HOSTILE))), [23]]}
    for name, of in ids.items():
        n = len(of)
        both = {"benchmark": [name] * n, "prompt_id": [f"prompt-{n - 1}"] * n, "sample": list(range(n))}
        scores = {"answer": ["<b>7</b>"] * n, "correct": [i > 0 for i in range(n)], "correct_alt": [False] * n}
        scores |= {"n_tokens": [len(t) for t in of]}
        texts = {"text": ["".join(VOCAB[i] for i in t) for t in of], "n_prompt": [N_PROMPT] * n, "token_ids": of}
        texts |= {"finish_reason": ["length"] * n, "rollout_logprobs": [[-0.1 * i for i in range(len(t))] for t in of]}
        for folder, table, columns in (("evaluate", "scores", scores), ("evaluated", "evaluated", texts)):
            root = artifacts / folder / f"{run}-s{seed}"
            write_step(root, table, TABLES[table], both | columns, **keys, name=name)
            write_manifest(root)


@contextmanager
def served(store: Store) -> Iterator[str]:
    """The address of a server over this store; nothing but the test refreshes it."""
    listener = listen(0, 0)
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(make_app(store, TOKEN, port), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/{TOKEN}/"
    finally:
        server.should_exit = True
        thread.join(5)


def ask(address: str, path: str = "", *, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one request; `host` and others as given, underscores for dashes."""
    port = int(address.split(":")[2].split("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers={"host": f"127.0.0.1:{port}"} | given)
    reply = connection.getresponse()
    answer = reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read().decode()
    connection.close()
    return answer


def ready_store(artifacts: Path, checkpoints: Path | None = None) -> Store:
    store = Store(artifacts, checkpoints)
    store.refresh()
    return store


ROWS = "#list .row"
CLOUD = "x=tokens.predictive_entropy&y=attention.entropy_norm.1"


def until(page, condition: str) -> None:
    """Waits for a JavaScript condition.  Playwright's own way evaluates text, which the page's policy forbids."""
    deadline = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"never came: {condition}"
        time.sleep(0.03)


def wait_count(page, n: int) -> None:
    until(page, f"document.getElementById('count').textContent.startsWith('{n} responses')")


def chosen(page) -> str:
    return page.locator(".pane").first.get_attribute("data-key")
