"""The published solutions of problems that the prompts stage chose, as pairs of prompt and response.

    python -m tokenspectrum.prompts.solutions --prompts artifacts/laptop/prompts/train \\
        --published data/benchmarks/math.jsonl --out solutions.jsonl

They are correct by construction.  `spectrum import pairs` makes them the probe of a policy: teacher forcing.  A line
holds the chat that the policy would see, the solution as `response`, and the gold answer.  No stage imports it.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.prompts.files import read_rows
from tokenspectrum.tables.prompts import SCHEMA
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.tokenlog.writer import atomic_path


def published_solutions(path: Path) -> dict[str, str]:
    """Solution by problem, of a file with columns `problem` and `solution`."""
    return {row.text("problem"): row.text("solution") for row in read_rows(path)}


def pairs(prompts: Path, published: Path) -> list[dict[str, Any]]:
    """A pair for each prompt of the folder's train.parquet.  UserError for a prompt without a solution in the file."""
    solutions, found = published_solutions(published), []
    for row in read_file(prompts / "train.parquet", SCHEMA).to_pylist():
        problem = row["extra_info"]["problem"]
        if problem not in solutions:
            raise UserError(
                f"{published}: no solution to prompt {row['prompt_id']} ({problem:.60}...); is it the file?"
            )
        gold = row["reward_model"]["ground_truth"]
        found.append({"prompt": row["prompt"], "response": solutions[problem], "answer": gold})
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=Path, required=True, help="folder of the training prompts")
    parser.add_argument("--published", type=Path, required=True, help="file with columns problem and solution")
    parser.add_argument("--out", type=Path, required=True, help="JSONL file to write")
    args = parser.parse_args(argv)
    found = pairs(args.prompts, args.published)
    with atomic_path(args.out) as path:
        path.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in found), encoding="utf-8")
    print(f"{args.out}: {len(found)} pairs")


if __name__ == "__main__":
    try:
        main()
    except UserError as e:
        sys.exit(f"error: {e}")
