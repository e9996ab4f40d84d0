"""What Ray itself sees: its live nodes and their GPUs, as one line of JSON.

It is a process of its own, so that the launcher need not connect to Ray: `python -m tokenspectrum.systems.ray.census
ADDRESS NODES SECONDS` waits that long for that many nodes.
"""

import json
import sys
import time

import ray


def main(argv: list[str]) -> None:
    address, nodes, seconds = argv[0], int(argv[1]), float(argv[2])
    until = time.monotonic() + seconds
    ray.init(address=address, log_to_driver=False)
    while True:
        alive = [one for one in ray.nodes() if one["Alive"]]
        if len(alive) >= nodes or time.monotonic() > until:
            break
        time.sleep(0.2)
    print(json.dumps([{"ip": x["NodeManagerAddress"], "gpus": int(x["Resources"].get("GPU", 0))} for x in alive]))


if __name__ == "__main__":
    main(sys.argv[1:])
