"""Stage source."""

import argparse

from toy.files import param, write
from toy.gate import gate


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    args = parser.parse_args()
    rows = param("source.rows")
    write(f"{args.out}/rows.json", list(range(rows)))
    gate("source")
    write(f"{args.out}/meta/count.json", rows)


if __name__ == "__main__":
    main()
