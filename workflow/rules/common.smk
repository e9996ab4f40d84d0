# What every rule file shares: the stages of dvc.yaml, the command that runs one, and dvc.lock's upkeep.
import os
import sys

from snakedvc.dvcfiles.records import fold
from snakedvc.errors import ProjectError
from snakedvc.planning.snake import Stages

# Stages run with the interpreter that runs Snakemake, whether or not its environment is activated.
os.environ.update(
    PATH=os.pathsep.join(
        [os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]
    )
)
# exec: no shell in between, which a signal would end before the stage has written its checkpoint.
RUN = "exec python -m snakedvc.running.run {params.addr} --log {log}"

try:
    # A single job's process, on its node, plans nothing.
    stages = Stages(workflow if workflow.is_main_process else None)
    if workflow.is_main_process:
        stages.check()
except ProjectError as e:
    sys.exit(f"error: {e}")

# One thread a stage unless `systems` says otherwise: two stages of one thread beat one of two.
THREADS = stages.pipeline.params.get("systems", {}).get("threads", 1)


wildcard_constraints:
    **stages.constraints(),


onsuccess:
    fold()


onerror:
    fold()
