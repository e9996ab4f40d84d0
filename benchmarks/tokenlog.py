"""The token log's writer: rows a CPU-second and bytes a row, beside pyarrow's own settings and prime-rl's JSONL.

    python -m benchmarks.tokenlog [--logs 'artifacts/tiny/train/*/tokenlog'] [--rounds 3]

One file of the table `tokens` with a million rows, as a step of a large run has it, on one core.  Twice: `trained`
holds rows of real runs (one after the other, and again from the first where they are fewer), `random` made-up numbers
whose mantissas cannot be compressed.  Ours is `write_file`, with its checks, its row count read back and its
fsync.  The peers write the same Arrow table without any of that.  The JSONL is prime-rl's layout: a sequence a line, an
array a field, here with the fields that our table has.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import made_log
from benchmarks.raw import ROOT, in_turns, median, save
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.writer import ROW_GROUP_ROWS, _encodings, as_table, write_file

ROWS = 1_000_000
LEVELS = (1, 3, 6, 9, 12)
SCHEMA = TABLES["tokens"]


def trained(pattern: str) -> pa.Table:
    """A million rows of the runs' logs."""
    files = [file for log in sorted(ROOT.glob(pattern)) for file in sorted(log.glob("tokens/**/*.parquet"))]
    if not files:
        sys.exit(f"{pattern}: no token log; make one: snakemake --profile local results/curves.csv")
    parts, rows, first, i = [], 0, 0, 0
    while rows < ROWS:
        part = pq.ParquetFile(files[i % len(files)]).read()
        ids = part["response_id"].to_numpy()
        parts.append(part.set_column(0, "response_id", pa.array(ids + np.int32(first))))
        rows, first, i = rows + len(ids), first + int(ids.max()) + 1, i + 1
    return as_table(SCHEMA, pa.concat_tables(parts)[:ROWS].combine_chunks())


def random() -> pa.Table:
    """A million rows of a policy that knows nothing: no two numbers alike."""
    rng = np.random.default_rng(0)
    key = made_log.key_of(made_log.lengths(rng, ROWS, made_log.RESPONSES))
    columns = made_log.tokens_of(rng, key, trained=True)
    columns |= {"token_id": rng.integers(0, made_log.VOCABULARY, ROWS).astype(np.int32)}
    columns |= {name: -5 * rng.random(ROWS, np.float32) for name in ("logprob", "rollout_logprob")}
    return as_table(SCHEMA, columns | {"predictive_entropy": 5 * rng.random(ROWS, np.float32)})


def write_jsonl(rows: pa.Table, path: Path) -> None:
    """A sequence a line, numbers as Python prints them."""
    ids = rows["response_id"].to_numpy()
    edges = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1, append=ids[-1] + 1))
    fields = [name for name in rows.column_names if name not in ("response_id", "position")]
    values = {name: rows[name].to_numpy() for name in fields}
    with path.open("w") as out:
        for a, b in pairwise(edges):
            line = {"response_id": int(ids[a])} | {name: values[name][a:b].tolist() for name in fields}
            out.write(json.dumps(line) + "\n")


def writers(rows: pa.Table, path: Path) -> dict[str, Callable[[], object]]:
    """Every way of writing the table to `path`, by name."""
    columns = {name: rows[name].to_numpy() for name in rows.column_names}

    def plain(**options: object) -> Callable[[], object]:
        return lambda: pq.write_table(rows, path, row_group_size=ROW_GROUP_ROWS, **options)

    ways = {"ours": lambda: write_file(path, SCHEMA, columns)}
    ways |= {
        f"our encodings, zstd {level}": plain(compression="zstd", compression_level=level, **_encodings(rows.schema))
        for level in LEVELS
    }
    fastest = plain(compression="none", use_dictionary=False, write_statistics=False)
    return ways | {"pyarrow's default": plain(), "pyarrow's fastest": fastest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", default="artifacts/tiny/train/*/tokenlog", help="token logs, below the repository")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokens.parquet"
        for data, rows in {"trained": trained(args.logs), "random": random()}.items():
            ways, sizes = writers(rows, path), {}
            for who, write in ways.items():
                write()
                sizes[who] = path.stat().st_size
            seconds = in_turns(ways, args.rounds, 0)
            write_jsonl(rows, path)
            sizes["prime-rl's JSONL"] = path.stat().st_size
            for who, size in sizes.items():
                line = {"data": data, "who": who, "rows": ROWS, "bytes_a_row": round(size / ROWS, 2)}
                rate = ROWS / float(median(seconds[who])) if who in seconds else None
                lines.append(line | {"rows_a_cpu_second": "" if rate is None else f"{rate:.3g}"})
                print(lines[-1], file=sys.stderr, flush=True)
    save(args.out, lines)


if __name__ == "__main__":
    main()
