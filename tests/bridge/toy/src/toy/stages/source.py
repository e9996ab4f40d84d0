"""Stage source."""

import argparse

from toy.files import param, read, write
from toy.gate import gate


def main():
    parser = argparse.ArgumentParser()
    for flag in ("given", "out"):
        parser.add_argument(f"--{flag}")
    args = parser.parse_args()
    rows = param("source.rows")
    write(f"{args.out}/rows.json", [read(f"{args.given}/first.json") + row for row in range(rows)])
    gate("source")
    write(f"{args.out}/meta/count.json", rows)


if __name__ == "__main__":
    main()
