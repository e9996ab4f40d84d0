"""On the PYTHONPATH of the tests' clones: a stage's command runs in a copy of a process that has loaded PyTorch.

The command is the one of dvc.yaml, and so are its folder, environment and output.  Only loading the libraries is saved,
some three seconds of each of a hundred stages.  Other commands start as always.  Knows no stage.
"""

import os
import socket
import sys

WHERE = os.environ.get("TOKENSPECTRUM_WARM")
COMMAND = sys.orig_argv[1:]

if WHERE and COMMAND[:1] == ["-m"] and COMMAND[1].startswith("tokenspectrum.stages."):
    import json

    with socket.socket(socket.AF_UNIX) as server:
        server.connect(WHERE)
        asked = json.dumps({"argv": COMMAND[1:], "cwd": os.getcwd(), "env": dict(os.environ)}).encode()
        server.sendall(len(asked).to_bytes(8, "big"))
        socket.send_fds(server, [b"x"], [0, 1, 2])
        server.sendall(asked)
        answer = server.recv(1)  # nothing, if the copy was killed
    os._exit(answer[0] if answer else 137)
