"""What Ray itself sees: its live nodes and their GPUs, as one line of JSON.

It is a process of its own, so that the launcher need not connect to Ray: `python -m tokenspectrum.systems.ray.census
ADDRESS NODES SECONDS [SKIPPED]` waits that long for that many nodes, and then leaves out so many of Ray's job ids.

A new Ray counts its jobs from 1.  verl hands weights over by a socket in /tmp that is named after the job, so two
trainings on one host would take one another's.  An id by chance keeps them apart.
"""

import json
import sys
import time

import ray
import ray._private.state


def main(argv: list[str]) -> None:
    address, nodes, seconds = argv[0], int(argv[1]), float(argv[2])
    until = time.monotonic() + seconds
    ray.init(address=address, log_to_driver=False)
    while True:
        alive = [one for one in ray.nodes() if one["Alive"]]
        if len(alive) >= nodes or time.monotonic() > until:
            break
        time.sleep(0.2)
    for _ in range(int(argv[3]) if len(argv) > 3 else 0):
        ray._private.state.next_job_id()
    print(json.dumps([{"ip": x["NodeManagerAddress"], "gpus": int(x["Resources"].get("GPU", 0))} for x in alive]))


if __name__ == "__main__":
    main(sys.argv[1:])
