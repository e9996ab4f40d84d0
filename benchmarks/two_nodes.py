"""What two Ray nodes cost beside one, by part of a step: the same training with two workers, on one node and on two.

    snakemake --profile local artifacts/tiny/weights/anchor20-b1/rule.json
    .venv-cluster/bin/python benchmarks/two_nodes.py [--steps 12] [--rounds 2]

The tiny policy on verl, two worker processes, so that the total work is the same.  "One" has both on one Ray node,
"two" has one on each of two.  Both nodes are on this machine, under two addresses: they share its cores and no network
lies between them, so this is what Ray and verl take, and not what a wire takes.  Medians over the steps but the first.

A step's time that is not compute is what hand_over (weights to vLLM), rest (vLLM asleep) and the driver by itself take,
and what the other parts take more on two nodes than on one.  Writes benchmarks/two_nodes.csv: a row a part, and `step`.
"""

import csv
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from machine import cpu_name
from verl_driver import PARTS
from verl_steps import ROOT, make_job, read_arguments, time_steps

from benchmarks.raw import revision
from tokenspectrum.systems.params import VerlSystems
from tokenspectrum.training.job import TrainJob

NODES = {
    "one": {"nodes": 1, "gpus_per_node": 2},
    "two": {"nodes": 2, "gpus_per_node": 1, "node_addresses": ("127.0.0.2", "127.0.0.3")},
}
COLUMNS = "device,revision,steps,rounds,part,one_node_seconds,two_nodes_seconds,not_compute"
# Nothing is computed there.
MOVES = ("hand_over", "rest", "driver")


def on(job: TrainJob, which: str) -> TrainJob:
    """The job on so many nodes."""
    verl = job.systems.verl or VerlSystems()
    return replace(job, systems=job.systems.model_copy(update={"verl": verl.model_copy(update=NODES[which])}))


def medians(rounds: list[dict]) -> dict[str, float]:
    """Seconds of each part of a step, and of the whole; the first step of each round is left out."""
    steps = [seconds for one in rounds for seconds in one["steps"][1:]]
    parts = {name: [s for one in rounds for s in one["parts"][name][1:]] for name in PARTS}
    parts["driver"] = [whole - sum(part[i] for part in parts.values()) for i, whole in enumerate(steps)]
    return {name: statistics.median(part) for name, part in parts.items()} | {"step": statistics.median(steps)}


def main() -> None:
    args = read_arguments(__doc__, ROOT / "benchmarks/two_nodes.csv")
    found: dict[str, list[dict]] = {which: [] for which in NODES}
    for _ in range(args.rounds):
        for which, times in found.items():
            with tempfile.TemporaryDirectory(prefix="ts-bench-") as folder:
                times.append(time_steps(on(make_job(args, Path(folder)), which), "ours", Path(folder)))
                print(which, times[-1], flush=True)
    one, two = (medians(times) for times in found.values())
    apart = {name: two[name] if name in MOVES else max(0.0, two[name] - one[name]) for name in (*PARTS, "driver")}
    with args.out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS.split(","))
        for name, seconds in [*apart.items(), ("step", sum(apart.values()))]:
            figures = (f"{one[name]:.3f}", f"{two[name]:.3f}", f"{seconds / two['step']:.3f}")
            writer.writerow([cpu_name(), revision(), args.steps, args.rounds, name, *figures])
    print(args.out.read_text())


if __name__ == "__main__":
    main()
