"""Ask a kit.warm server to run a program in a copy of itself (../server.py).  Knows no program."""

import json
import os
import socket
from collections.abc import Mapping, Sequence

KILLED = 137


def ask(where: str, argv: Sequence[str], env: Mapping[str, str], streams: Sequence[int] = (0, 1, 2)) -> int:
    """Its exit status.  `argv` is what would follow `python`; `streams` are its three, by their numbers."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(where)
        asked = json.dumps({"argv": list(argv), "cwd": os.getcwd(), "env": dict(env)}).encode()
        server.sendall(len(asked).to_bytes(8, "big"))
        socket.send_fds(server, [b"x"], list(streams))
        server.sendall(asked)
        answer = server.recv(1)  # nothing, if the copy was killed
    return answer[0] if answer else KILLED
