"""Stage evaluate: a lazy import."""

import argparse

from toy.files import param, read, write


def main():
    from toy.late import SCALE

    parser = argparse.ArgumentParser()
    for flag in ("policy", "out"):
        parser.add_argument(f"--{flag}")
    args = parser.parse_args()
    score = read(f"{args.policy}/state.json") * SCALE * param("evaluate.samples")
    write(f"{args.out}/score.json", score)


if __name__ == "__main__":
    main()
