"""Stage train: goes on from a checkpoint."""

import argparse
import os
import signal
from pathlib import Path

from toy.files import param, read, write
from toy.gate import gate
from toy.rules import rule as find_rule
from toy.systems.report import report


def backend(name):
    """The step of a backend.  Both are named here, and the params select one."""
    if name == "fancy":
        from toy.backends.fancy.step import move
    else:
        from toy.backends.plain.step import move
    return move


def main():
    parser = argparse.ArgumentParser()
    for flag in ("source", "rule", "method", "half", "seed", "out"):
        parser.add_argument(f"--{flag}")
    args = parser.parse_args()
    folder = os.environ.get("SNAKEDVC_CHECKPOINT_DIR")
    saved = Path(folder, "state.json") if folder else Path("no-checkpoint")
    start = float(args.seed) + {"a": 0.0, "b": 0.5}[args.half]
    state, done = read(saved) if saved.exists() else (start, 0)
    report(f"from step {done}")
    move, weigh = backend(param("train.backend")), find_rule(args.method)[0].weigh
    for i in range(done, param("train.steps")):
        if i == int(os.environ.get("TOY_DIE_AT", -1)):
            write(f"{args.out}/policy/half.json", "half")
            os.kill(os.getpid(), signal.SIGKILL)
        state = move(state, weigh(read(args.rule)["p"]), param("train.rate"))
        if folder:
            write(saved, [state, i + 1])
    gate("train")
    write(f"{args.out}/policy/state.json", state)
    write(f"{args.out}/log/rows.json", len(read(f"{args.source}/rows.json")))


if __name__ == "__main__":
    main()
