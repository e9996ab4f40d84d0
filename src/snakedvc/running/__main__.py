"""`python -m snakedvc.running STAGE`: the runner (run.py).  Ctrl-C ends it in one line while it still imports, too."""

import json
import os
import signal
import sys
import time

INTERRUPTED = 128 + signal.SIGINT


def _end_now(number: int, frame: object) -> None:
    """Nothing has begun, so there is nothing to clean up.  The driver reads the journal's line."""
    addr = sys.argv[1] if len(sys.argv) > 1 else "runner"
    line = json.dumps(
        {
            "addr": addr,
            "how": "interrupted",
            "key": None,
            "seconds": 0.0,
            "at": int(time.time()),
            "driver": os.getppid(),
        }
    )
    try:
        os.write(2, f"{addr}: stopped; the same command goes on\n".encode())
        os.makedirs("logs", exist_ok=True)
        with open("logs/runner.jsonl", "a") as journal:
            journal.write(line + "\n")
    finally:
        os._exit(INTERRUPTED)


def main() -> None:
    """Import the runner and run it.  It obeys Ctrl-C even where a shell started it in the background, ignoring it."""
    signal.signal(signal.SIGINT, _end_now)
    from snakedvc.running.run import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
