"""A process that has loaded the libraries, and makes a copy of itself for each stage that a clone runs.

    python warm_server.py SOCKET

It loads no module of tokenspectrum but the arithmetic's pins, and those it forgets: a stage loads its own code, from
its frozen copy.  Nothing is computed before the copy is made.  warm/sitecustomize.py asks it.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from pathlib import Path

LOADED = (
    "torch",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.qwen3.modeling_qwen3",
    "tokenizers",
    "safetensors.torch",
    "numpy",
    "pyarrow.compute",
    "pyarrow.parquet",
    "pydantic",
    "yaml",
    "duckdb",
    "scipy.stats",
    "statsmodels.api",
    "matplotlib.pyplot",
)


def load() -> None:
    """The libraries, under the pins that hold in every stage."""
    import tokenspectrum.portable  # noqa: F401

    for name in LOADED:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] == "tokenspectrum"]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()


def whole(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes."""
    found = b""
    while len(found) < size:
        found += connection.recv(size - len(found))
    return found


def answer(connection: socket.socket, status: list[int]) -> None:
    """The last that a copy does: say how it ended."""
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(bytes([status[0] & 255]))
    os._exit(0)


def work(connection: socket.socket) -> int:
    """In a copy: run what is asked for as `python -m` would, and give its exit status."""
    size = int.from_bytes(whole(connection, 8), "big")
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    asked = json.loads(whole(connection, size))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.path[:0] = [asked["cwd"], *filter(None, asked["env"].get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = asked["argv"]
    importlib.invalidate_caches()
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as e:
        if isinstance(e.code, str):
            print(e.code, file=sys.stderr)
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def reap(*_: object) -> None:
    """Take note of copies that have ended, so that their CPU time is counted.  They have answered themselves."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    where = Path(sys.argv[1])
    load()
    signal.signal(signal.SIGCHLD, reap)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(where))
        server.listen(16)
        while True:
            connection, _ = server.accept()
            if os.fork():
                connection.close()
            else:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                status = [1]
                atexit.register(answer, connection, status)  # after all that the stage registers, threads included
                status[0] = work(connection)
                return


if __name__ == "__main__":
    main()
