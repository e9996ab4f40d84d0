"""In the place of verl's driver: an actor with a child of its own on every GPU, then what the words ask for.

python stand_in_driver.py FOLDER work | nothing | hang | silent | error
  work    touches the heartbeat until SIGTERM comes, then exits with 75
  nothing the same, and the launcher is told that no checkpoint was written
  hang    says that all is up, and nothing after that
  silent  never says that all is up
  error   ends with a line that says why
Writes FOLDER/seen.json when its actors are up.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ray

STOPPED = 75


@ray.remote(num_gpus=1)
class Worker:
    """Holds a process of its own in a session of its own, as vLLM's servers do."""

    def __init__(self) -> None:
        self.child = subprocess.Popen(["sleep", "600"], start_new_session=True)

    def where(self) -> dict:
        names = ("VERL_PLATFORM", "VERL_USE_EXTERNAL_MODULES", "OMP_NUM_THREADS")
        return {
            "node": ray.get_runtime_context().get_node_id(),
            "address": ray.util.get_node_ip_address(),
            "pid": os.getpid(),
            "environment": {name: os.environ.get(name) for name in names},
        }


def main(folder: Path, what: str) -> None:
    heartbeat = folder / "heartbeat"
    heartbeat.touch()
    ray.init(address=os.environ["TOKENSPECTRUM_RAY_ADDRESS"])
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    workers = [Worker.remote() for _ in range(int(ray.cluster_resources()["GPU"]))]
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    seen = {
        "workers": ray.get([worker.where.remote() for worker in workers]),
        "address": os.environ["TOKENSPECTRUM_RAY_ADDRESS"],
        "mode": oct(token.stat().st_mode & 0o777),
        "token": token.read_text(),
        "job": ray.get_runtime_context().get_job_id(),
    }
    if what == "error":
        print("error: the disk of the driver is full", flush=True)
        os._exit(1)
    if what != "silent":
        heartbeat.touch()
    temporary = folder / "seen.tmp"
    temporary.write_text(json.dumps(seen))
    temporary.rename(folder / "seen.json")
    while not stop:
        time.sleep(0.2)
        if what in ("work", "nothing"):
            heartbeat.touch()
    sys.exit(STOPPED)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
