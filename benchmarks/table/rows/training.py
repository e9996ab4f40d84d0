"""A DAPO step, the memory of a long run, and two Ray nodes against one."""

from benchmarks.policies import NEEDS
from benchmarks.table.row import Cell, Goal, Row, Script


def _steps(name: str, policy: str, most: float) -> list[Row]:
    """A whole step, and one on the same responses for both."""

    def cell(who: str, batch: str) -> Cell:
        return Cell("dapo_step.csv", "cpu_seconds", {"policy": policy, "who": who, "batch": batch})

    kinds = {"whole": "each samples for itself", "given": "on the same responses, sampling not counted"}
    return [
        Row(f"DAPO step, {name}: {what}", "CPU-s", cell("ours", batch), Goal(most=most), "TRL", cell("trl", batch))
        for batch, what in kinds.items()
    ]


ROWS = [
    *_steps("tiny policy", "tiny", 0.7),
    Row(
        "DAPO step, tiny policy, on verl",
        "s (wall)",
        Cell("verl_steps.csv", "ours_step_seconds", {"policy": "tiny"}),
        Goal(most=0.74),  # what it was when the goals were set; the goal of 0.7 is beside TRL
        "stock verl",
        Cell("verl_steps.csv", "plain_step_seconds", {"policy": "tiny"}),
        missing="needs the cluster's environment: .venv-cluster/bin/python benchmarks/verl_steps.py",
    ),
    *_steps("SmolLM2-135M", "smollm2-135m", 0.9),
    Row(
        "training memory after 2,000 steps",
        "MiB",
        Cell("memory.csv", "end_mib"),
        Goal(most=1.02),
        "after 10 steps",
        Cell("memory.csv", "step_10_mib"),
    ),
    Row(
        "two nodes on Ray, same total work: time that is not compute",
        "share",
        Cell("two_nodes.csv", "not_compute", {"part": "step"}),
        Goal(most=0.1, of="ours"),
        missing="needs the cluster's environment: .venv-cluster/bin/python benchmarks/two_nodes.py",
    ),
]
SCRIPTS = [
    Script("dapo_step", ("-m", "benchmarks.dapo_step", "--policies", "tiny"), NEEDS),
    Script("dapo_step_135m", ("-m", "benchmarks.dapo_step", "--policies", "smollm2-135m"), NEEDS),
    Script("memory", ("-m", "benchmarks.memory"), NEEDS),
]
