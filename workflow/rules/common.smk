# What every rule file shares: the stages of dvc.yaml, the command that runs one, and dvc.lock's upkeep.
import os
import sys

sys.path.insert(0, str(workflow.basedir))
# Stages run with the interpreter that runs Snakemake, whether or not its environment is activated.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])

from tokenspectrum.errors import UserError
from workflow.bridge.records import fold
from workflow.bridge.snake import Stages

RUN = "python -m workflow.bridge.run {params.addr} --log {log}"

try:
    stages = Stages()
    if workflow.is_main_process:
        stages.check_code()
        # Left by a driver that was killed; safe beside one that still runs.
        fold()
        # Files that dvc checkout, pull or repro made are unknown to Snakemake: the bridge's own records say what stands.
        workflow.dag_settings.forcerun = set(workflow.dag_settings.forcerun) | set(
            stages.not_standing(workflow.dag_settings.targets)
        )
except UserError as e:
    sys.exit(f"error: {e}")


wildcard_constraints:
    **stages.constraints(),


onsuccess:
    fold()


onerror:
    fold()
