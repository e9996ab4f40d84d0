"""Planning and running a thousand stages, beside Snakemake and DVC alone; and what a stage costs before its work."""

from benchmarks.table.row import Cell, Goal, Row, Script


def _cell(pipeline: str, what: str, column: str = "cpu_seconds") -> Cell:
    return Cell("workflow.csv", column, {"pipeline": pipeline, "pass": what})


ROWS = [
    Row(
        "plan of over 1,000 stages",
        "CPU-s",
        _cell("matrix", "plan, nothing made"),
        Goal(most=1.5),
        "snakemake -n, without the bridge",
        _cell("matrix", "plan, without the bridge"),
    ),
    Row(
        "nothing to do, over 1,000 stages",
        "CPU-s",
        _cell("matrix", "nothing to do"),
        Goal(most=3, of="ours"),
        "dvc status",
        _cell("matrix", "dvc status"),
    ),
    Row(
        "one SQL edit among over 1,000 stages: plan, run, store",
        "CPU-s",
        _cell("matrix", "one SQL edit, its result made anew"),
        Goal(most=10, of="ours"),
    ),
    Row(
        "a stage's own overhead, beyond an empty Snakemake job",
        "CPU-s",
        _cell("toy", "overhead of a stage", "cpu_seconds_a_stage"),
        Goal(most=0.3, of="ours"),
    ),
    *(
        Row(
            what,
            "CPU-s",
            Cell("starts.csv", "cpu_seconds", {"what": name, "who": "ours"}),
            Goal(most=most, of="ours"),
            peer,
            Cell("starts.csv", "cpu_seconds", {"what": name, "who": "its libraries"}),
        )
        for what, name, most, peer in (
            ("spectrum --help", "spectrum --help", 0.2, "python -c pass"),
            ("stage result, before its work", "result", 1.0, "its libraries"),
            ("stage weights, before its work", "weights", 1.0, "import torch"),
            ("stage train, before its work", "train", 1.0, "import torch"),
            ("stage tokens, before its work", "tokens", 1.0, "import torch and transformers' models"),
        )
    ),
]
SCRIPTS = [
    Script("workflow", ("-m", "benchmarks.workflow", "--stages", "10")),
    Script("starts", ("-m", "benchmarks.starts")),
]
