"""On the PYTHONPATH of tests' projects: a stage, or Snakemake, runs in a copy of a process that has its libraries.

The command is the same, and so are its folder, environment and output.  Only loading the libraries is saved: some three
seconds of each of a hundred stages, and one of each Snakemake.  Other commands start as always.  Knows no stage.
"""

import os
import socket
import sys

WHERE = os.environ.get("TOKENSPECTRUM_WARM")
COMMAND = sys.orig_argv[1:]
STAGE = COMMAND[:1] == ["-m"] and COMMAND[1].startswith("tokenspectrum.stages.")

if WHERE and (STAGE or (COMMAND[:1] and COMMAND[0].endswith("/snakemake"))):
    import json

    with socket.socket(socket.AF_UNIX) as server:
        server.connect(WHERE)
        asked = json.dumps({"argv": COMMAND, "cwd": os.getcwd(), "env": dict(os.environ)}).encode()
        server.sendall(len(asked).to_bytes(8, "big"))
        socket.send_fds(server, [b"x"], [0, 1, 2])
        server.sendall(asked)
        answer = server.recv(1)  # nothing, if the copy was killed
    os._exit(answer[0] if answer else 137)
