"""SQL over a made-up token log of any size, and the opening of a database of many files.

    python -m benchmarks.sql [--tokens 1e8] [--files 100000] [--memory 7GiB] [--threads 2] [--folder FOLDER]

The log is a run of steps of a million tokens and a base policy's probe of one million.  Asked are the worked queries of
docs/sql.md as they stand there, the reconciliation of every mini-batch, and both macros over every token of the run.  A
question's limit is DuckDB's own scan of the columns that it reads: their sums, and nothing else.  Each question has a
process of its own, so its peak is its own.  Steps are hard links to a few distinct files: other rows to SQL, but the
system caches them as one, so reading from a disk is not measured.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np

from benchmarks import made_log
from benchmarks.raw import ROOT, save
from tokenspectrum.results.database import rebuild
from tokenspectrum.results.readonly import open_locked
from tokenspectrum.results.sources import Wanted
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.writer import MANIFEST, SCHEMA_VERSION, step_path, write_json

WANTED = Wanted(["full"], [1], [1])
ARTIFACTS, DATABASE = Path("artifacts/made"), Path("tokens.duckdb")
WORKED = ("wrong answers", "words of quadrants", "what anchors are", "what came of it")
OF_ALL = {
    "partitions of all": (
        "SELECT step, count_if(anchor), count_if(explorer), avg(value) FILTER (anchor) FROM partitions(1, 0.2) "
        "WHERE run = 'full' GROUP BY ALL"
    ),
    "quadrants of all": "SELECT step, quadrant, count(*) FROM quadrants(1) WHERE run = 'full' GROUP BY ALL",
}
ATTENTION = ("response_id", "position", "layer", "entropy_norm")
TOKENS = ("response_id", "position", "token_id", "predictive_entropy")
SCANNED = {
    "words of quadrants": {"tokens": TOKENS, "attention": ATTENTION},
    "what anchors are": {"tokens": TOKENS, "attention": ATTENTION},
    "reconcile": {"tokens": ("minibatch", "weight", "advantage", "loss")},
    "partitions of all": {"attention": ATTENTION},
    "quadrants of all": {"tokens": TOKENS, "attention": ATTENTION},
}


def questions() -> Iterator[tuple[str, str]]:
    """Name and text: those of the page, and over every token."""
    blocks = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/sql.md").read_text(), re.DOTALL)
    yield from zip(WORKED, blocks, strict=True)
    yield "reconcile", (ROOT / "src/tokenspectrum/results/queries/reconcile.sql").read_text()
    yield from OF_ALL.items()


def scans(name: str) -> str:
    """The sums of the columns that a question reads, of the same rows."""
    run = "base" if name in WORKED else "full"
    parts = [
        f"SELECT {', '.join(f'sum({column})' for column in columns)} FROM {table} WHERE run = '{run}'"
        for table, columns in SCANNED[name].items()
    ]
    return "; ".join(parts)


def ask(text: str, memory: str, threads: int) -> dict:
    """Wall and CPU seconds of the statements, and the peak of this process."""
    config = {"threads": threads, "memory_limit": memory, "temp_directory": "spilled"}
    wall, cpu, rows = time.perf_counter(), time.process_time(), 0
    with duckdb.connect(DATABASE, read_only=True, config=config) as connection:
        for statement in connection.extract_statements(text):
            rows += len(connection.execute(statement).fetchall())
    # Not ru_maxrss: that is also of the process that started this one.
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 2**10
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "peak_mib": peak, "rows": rows}


def apart(text: str, memory: str, threads: int) -> dict:
    """The same in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.sql", "--ask", text, "--memory", memory, "--threads", str(threads)]
    found = subprocess.run(
        words, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True
    )
    return {name: float(value) for name, value in (word.split("=") for word in found.stdout.split())}


def many_files(artifacts: Path, files: int) -> None:
    """A run of steps of three files each, all links to the files of one step of twelve tokens."""
    root, length_R = artifacts / "train/full-s1/tokenlog", np.array([5, 7])
    rng, key = np.random.default_rng(0), made_log.key_of(length_R)
    tables = {"responses": made_log.responses_of(rng, length_R), "tokens": made_log.tokens_of(rng, key, trained=True)}
    tables["attention"] = made_log.attention_of(rng, key, made_log.LAYER, supports=False)
    listed = {}
    for table, columns in tables.items():
        first = step_path(root, table, "full", 1, 1)
        made_log.write_quickly(first, table, columns)
        entry = made_log.entry(first)
        for step in range(1, files // len(tables) + 1):
            path = step_path(root, table, "full", 1, step)
            if step > 1:
                path.parent.mkdir(parents=True)
                os.link(first, path)
            listed[path.relative_to(root).as_posix()] = entry
    write_json(root / MANIFEST, {"schema_version": SCHEMA_VERSION, "files": listed})


def opened(files: int) -> dict:
    """CPU seconds of rebuilding the database over so many files and of opening it."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = rebuild(DATABASE, ARTIFACTS, WANTED)
    with open_locked(DATABASE, [Path("artifacts")]) as connection:
        connection.execute("SELECT 1").fetchall()
    assert sum(len(paths) for one in found for paths in one.files.values()) >= files - len(TABLES)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "rows": 1}


def line(name: str, tokens: int, asked: str, found: dict) -> dict:
    print(name, asked, {key: round(value, 2) for key, value in found.items()}, file=sys.stderr, flush=True)
    rounded = {key: round(value, 3) for key, value in found.items()}
    return {"question": name, "tokens": tokens, "asked": asked, "load": round(os.getloadavg()[0], 1)} | rounded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=lambda text: int(float(text)), default=10**8)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--memory", default="7GiB", help="of DuckDB; the process takes a little more")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="questions; default: all")
    parser.add_argument("--folder", type=Path, help="where the log is, or is to be, instead of a temporary folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ask:
        print(*(f"{name}={value}" for name, value in ask(args.ask, args.memory, args.threads).items()))
        return
    with tempfile.TemporaryDirectory() as temporary:
        lines, out = [], args.out.absolute()
        many = Path(temporary) / "many"
        if not args.only or "open" in args.only:
            many_files(many / ARTIFACTS, args.files)
            os.chdir(many)
            lines.append(line("open", 0, f"{args.files} files", opened(args.files)))
        folder = (args.folder or Path(temporary)).absolute() / f"log-{args.tokens}"
        if not folder.exists():
            made_log.write_run(folder / ARTIFACTS, args.tokens)
            made_log.write_probe(folder / ARTIFACTS, made_log.STEP_TOKENS)
            made_log.write_prompts(folder / ARTIFACTS)
        os.chdir(folder)
        rebuild(DATABASE, ARTIFACTS, WANTED)
        for name, text in questions():
            if not args.only or name in args.only:
                lines.append(line(name, args.tokens, "question", apart(text, args.memory, args.threads)))
                if name in SCANNED:
                    lines.append(line(name, args.tokens, "scan", apart(scans(name), args.memory, args.threads)))
        os.chdir(ROOT)
    save(out, lines, by=("question", "tokens", "asked"))


if __name__ == "__main__":
    main()
