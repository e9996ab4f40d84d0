"""Rewrite a batch script of Snakemake's Slurm plugin so that it runs without the job step plugin.

    python -m snakedvc.site.jobscript SCRIPT        prints the script that job.sh runs in its place

The plugin's script starts Snakemake, which only starts Snakemake again under `srun -n1`.  The rewritten script starts
the second one directly, in the batch step.  This saves seconds of CPU a job, and signals pass through one process
fewer.  For an array job the plugin's script holds the command of every task; the printed script holds only this task's.
Anything that is not recognised stays as it is.  Knows the command line of snakemake-executor-plugin-slurm 2.6.  Knows
nothing of stages.
"""

import base64
import json
import os
import re
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

JOBSTEP = " --executor slurm-jobstep --jobs 1"
_TASKS = re.compile(r"\s*--slurm-jobstep-array-execs[=\s]'?([A-Za-z0-9+/=]+)'?\s*$")


def rewrite(script: str, env: Mapping[str, str]) -> str:
    """The script that runs the same Snakemake job or array task directly."""
    if tasks := _TASKS.search(script):
        own, first = env.get("SLURM_ARRAY_TASK_ID"), env.get("SLURM_ARRAY_TASK_MIN")
        packed = json.loads(base64.b64decode(tasks[1])).get(own)
        if packed is not None:
            script = "#!/bin/sh\n" + zlib.decompress(bytes.fromhex(packed)).decode()
        elif own == first:  # the first task's command is the script's own
            script = script[: tasks.start()]
    return script.replace(JOBSTEP, "").rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(rewrite(Path(sys.argv[1]).read_text(), os.environ))
