"""A process that has loaded libraries, and makes a copy of itself for each program that is asked of it.

    python server.py SOCKET [stages] [driver]

It loads no module of tokenspectrum but the arithmetic's pins, and those it forgets: a stage loads its own code, from
its frozen copy.  Nothing is computed before the copy is made.  A copy takes no signals of its program.
site/sitecustomize.py asks it.
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

DRIVER = ("snakemake.cli", "snakemake_executor_plugin_slurm", "pandas", "yaml")
STAGES = (
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


def load(kinds: list[str]) -> None:
    """The libraries, under the pins that hold in every stage."""
    import tokenspectrum.portable  # noqa: F401

    for name in (*(STAGES if "stages" in kinds else ()), *(DRIVER if "driver" in kinds else ())):
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
    """In a copy: run what is asked for as `python -m`, or a script, would run; its exit status."""
    size = int.from_bytes(whole(connection, 8), "big")
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    asked = json.loads(whole(connection, size))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    is_module = asked["argv"][0] == "-m"
    sys.argv = asked["argv"][is_module:]
    first = asked["cwd"] if is_module else str(Path(sys.argv[0]).parent)
    given = filter(None, asked["env"].get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = [first, *given]  # in the place of this file's folder
    importlib.invalidate_caches()
    try:
        if is_module:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
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
    load(sys.argv[2:])
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
