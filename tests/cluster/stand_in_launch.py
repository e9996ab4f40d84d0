"""The launcher around a stand-in for the driver: python stand_in_launch.py FOLDER SYSTEMS_JSON DRIVER_WORDS...

Ends as a stage does, with its one line and its exit code.
"""

import sys
from pathlib import Path

from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import VerlSystems
from tokenspectrum.systems.ray.launch import HEARTBEAT, supervise

DRIVER = Path(__file__).with_name("stand_in_driver.py")


def main() -> None:
    folder, systems = Path(sys.argv[1]), VerlSystems.model_validate_json(sys.argv[2])
    command = [sys.executable, str(DRIVER), str(folder), *sys.argv[3:]]
    supervise(command, systems, folder / HEARTBEAT, folder / "logs", lambda: sys.argv[3] != "nothing")


if __name__ == "__main__":
    run(main)
