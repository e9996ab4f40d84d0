"""One Ray node: it runs `ray start` on this machine as long as another process holds the other end of stdin.

`python -m tokenspectrum.systems.ray.node ...`, started by cluster.py, here or through srun.  The first line of stdin is
the cluster's token.  It prints `ready ADDRESS` once Ray is up, or a last line `error: ...`.

It ends when Ray ends or when stdin ends, which also happens if the launcher dies.  Then it kills all processes of this
node.  It finds them by a mark in their environment, in any session and under any parent.  Knows Ray's command line.
Knows nothing of training.
"""

import argparse
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tokenspectrum.errors import UserError

MARK = "TOKENSPECTRUM_RAY_NODE"
READY = "ready "
_GRACE_S = 5.0  # for Ray to end by itself
_TICKETS = 64
_UP = "Ray runtime started"
_DIED = re.compile(r" -- (\w+) \[exit code=(-?\d+)\]")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="mark of this node's processes: JOB-INDEX")
    parser.add_argument("--head", help="address of the head to join; none: this is the head")
    parser.add_argument("--ip", help="IP address of this node; none: what Ray finds")
    parser.add_argument("--port", type=int, help="port of the head; none: a free one")
    parser.add_argument("--slots", type=int, help="GPUs to declare where there are none; none: let Ray count")
    parser.add_argument("--logs", type=Path, required=True, help="folder for Ray's own logs")
    args = parser.parse_args(argv)
    # A signal to the whole job, for example by Slurm, is for the launcher, which then closes stdin.  Ignore it here.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    token = sys.stdin.readline().strip()
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    try:
        hold(args, token, over)
    except UserError as e:
        print(f"error: {e}", flush=True)
        sys.exit(1)


def hold(args: argparse.Namespace, token: str, over: threading.Event) -> None:
    """Run Ray until `over` is set.  Raises UserError where Ray does not start, or ends before."""
    ip = args.ip or _own_address()
    address = args.head or f"{ip}:{choose_port(ip, args.port)}"
    # The name is short, because the paths of Ray's sockets must fit into 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))
    token_file = folder / "token"
    os.close(os.open(token_file, os.O_CREAT | os.O_WRONLY, 0o600))
    token_file.write_text(token)
    environment = os.environ | {MARK: args.name, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}
    output = folder / "start.log"
    try:
        with output.open("w") as log:
            command = ray_start(address, ip, folder, is_head=args.head is None, slots=args.slots)
            # Child processes inherit ignored signals, but Ray's processes must react to theirs.
            ray = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
            )
        is_up = False
        while not over.wait(0.2):
            if not is_up and _UP in output.read_text():
                is_up = True
                print(f"{READY}{address}", flush=True)
            if ray.poll() is not None:
                raise UserError(_reason(output))
    finally:
        # If the launcher is gone or done, end all of its processes on this machine; otherwise only this node's.
        whole = args.name.rsplit("-", 1)[0] + "-"
        _stop(ray, (lambda mark: mark.startswith(whole)) if over.is_set() else (lambda mark: mark == args.name))
        keep_logs(folder, args.logs)
        shutil.rmtree(folder, ignore_errors=True)


def ray_start(address: str, ip: str, folder: Path, *, is_head: bool, slots: int | None) -> list[str]:
    """The command.  The kernel chooses every port except the head's, so that two jobs never use the same one."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--log-color=false"]
    # Ray's CPUs are only counted and need not be cores.  verl's actors take a fixed number on any machine.
    command += [f"--node-ip-address={ip}", f"--num-cpus={max(os.cpu_count() or 1, _TICKETS)}"]
    command += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
    command += ["--disable-usage-stats", f"--temp-dir={folder}"]
    if is_head:
        command += ["--head", f"--port={address.rsplit(':', 1)[1]}", "--include-dashboard=false"]
        # This port is the only one for which Ray does not accept 0.
        command += [f"--ray-client-server-port={choose_port(ip, None)}"]
    else:
        command += [f"--address={address}"]
    if slots is not None:
        command += [f"--num-gpus={slots}", f"--object-store-memory={300 * 2**20}"]
    return command


def choose_port(ip: str, wanted: int | None) -> int:
    """`wanted`, if it is free on this machine; any free port if `wanted` is None."""
    with socket.socket() as s:
        try:
            s.bind((ip, 0))
        except OSError as e:
            raise UserError(
                f"{ip} is no address of {socket.gethostname()} ({e.strerror}); see systems.verl.node_addresses"
            ) from None
    with socket.socket() as s:
        try:
            # Ray listens on all addresses.
            s.bind(("", wanted or 0))
        except OSError:
            raise UserError(
                f"systems.verl.ray_port: {wanted} is in use on {ip}; choose another, or null for a free one"
            ) from None
        return s.getsockname()[1]


def new_token() -> str:
    return secrets.token_hex(32)


def marked(chosen: Callable[[str], bool]) -> Iterator[int]:
    """All other processes of this machine whose mark `chosen` accepts."""
    prefix = f"{MARK}=".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # gone, or another user's
        if any(v.startswith(prefix) and chosen(v.removeprefix(prefix).decode()) for v in variables):
            yield int(entry.name)


def kill_marked(chosen: Callable[[str], bool]) -> None:
    """Kill these processes until none is left, also those that start meanwhile."""
    for _ in range(50):
        found = list(marked(chosen))
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)


def keep_logs(folder: Path, logs: Path) -> None:
    """Copy Ray's logs out of its temporary folder, over those of an earlier run."""
    found = folder / "session_latest" / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True, exist_ok=True)
    for file in [folder / "start.log", *(found.iterdir() if found.is_dir() else [])]:
        if file.is_file():
            shutil.copyfile(file, logs / file.name)


def _stop(ray: subprocess.Popen, chosen: Callable[[str], bool]) -> None:
    ray.terminate()
    try:
        ray.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        ray.kill()
        ray.wait()
    kill_marked(chosen)


def _own_address() -> str:
    import ray.util

    return ray.util.get_node_ip_address()


def _reason(output: Path) -> str:
    """The part of Ray that died; if none is known, the last line of `ray start` that is not empty."""
    text = output.read_text(errors="replace")
    if died := _DIED.search(text):
        return f"its {died[1]} ended with exit code {died[2]}"
    lines = [line.split(" -- ")[-1].strip() for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")


if __name__ == "__main__":
    main()
