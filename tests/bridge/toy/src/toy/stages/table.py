"""Stage table: reads its SQL file beside the package."""

import argparse
from pathlib import Path

import toy
from toy.files import param, read


def main():
    parser = argparse.ArgumentParser()
    for flag in ("evaluate", "out"):
        parser.add_argument(f"--{flag}")
    args = parser.parse_args()
    query = Path(toy.__file__).with_name("queries").joinpath("table.sql").read_text()
    lines = [query.strip()]
    for method in param("methods"):
        for seed in (replicate["seed"] for replicate in param("replicates")):
            score = read(f"{args.evaluate}/{method}-s{seed}/score.json")
            lines.append(f"{method},{seed},{score:.{param('table.digits')}f}")
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    Path(args.out).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
