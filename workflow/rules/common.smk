# What every rule file shares: the stages of dvc.yaml, the command that runs one, and dvc.lock's upkeep.
import os
import sys

sys.path.insert(0, str(workflow.basedir))

from tokenspectrum.errors import UserError
from workflow.bridge.records import fold
from workflow.bridge.snake import Stages

# Stages run with the interpreter that runs Snakemake, whether or not its environment is activated.
os.environ.update(
    PATH=os.pathsep.join(
        [os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]
    )
)
RUN = "python -m workflow.bridge.run {params.addr} --log {log}"

try:
    if workflow.is_main_process:
        # Left by a driver that was killed; safe beside one that still runs.
        fold()
        stages = Stages(force=lambda outputs: workflow.dag.forcefiles.update(outputs))
        stages.check()
    else:
        # A single job's process, on its node: it plans nothing.
        stages = Stages()
except UserError as e:
    sys.exit(f"error: {e}")

# One thread a stage unless `systems` says otherwise: two stages of one thread beat one of two.
THREADS = stages.pipeline.params.get("systems", {}).get("threads", 1)


wildcard_constraints:
    **stages.constraints(),


onsuccess:
    fold()


onerror:
    fold()
