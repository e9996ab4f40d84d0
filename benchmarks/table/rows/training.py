"""A DAPO step, the memory of a long run, and two Ray nodes against one."""

from benchmarks.table.row import Cell, Goal, Row, Script

TINY = ("artifacts/tiny/policy/1", "artifacts/tiny/prompts/train")


def _step(policy: str, who: str) -> Cell:
    return Cell("dapo_step.csv", "cpu_seconds", {"policy": policy, "who": who})


ROWS = [
    Row(
        "DAPO step, tiny policy, same batch and rule",
        "CPU-s",
        _step("tiny", "ours"),
        Goal(most=0.7),
        "TRL's GRPOTrainer",
        _step("tiny", "trl"),
    ),
    Row(
        "DAPO step, tiny policy, on verl",
        "s (wall)",
        Cell("verl_steps.csv", "ours_step_seconds", {"policy": "tiny"}),
        Goal(most=0.7),
        "stock verl",
        Cell("verl_steps.csv", "plain_step_seconds", {"policy": "tiny"}),
        missing="needs the cluster's environment: .venv-cluster/bin/python benchmarks/verl_steps.py",
    ),
    Row(
        "DAPO step, SmolLM2-135M, same batch and rule",
        "CPU-s",
        _step("smollm2-135m", "ours"),
        Goal(most=0.9),
        "TRL's GRPOTrainer",
        _step("smollm2-135m", "trl"),
    ),
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
        Cell("two_nodes.csv", "not_compute"),
        Goal(most=0.1, of="ours"),
        missing="not measured: two machines are needed; two Ray nodes on one share its cores",
    ),
]
SCRIPTS: list[Script] = []
