"""The Ray cluster of one job: one that the job starts itself, or one that runs already.

places.py says where its own nodes are.  Each is a process of node.py, which lives as long as we hold its stdin.  The
first node is the head.  Knows whether all nodes and GPUs are there.  Knows nothing of what runs on them.
"""

import contextlib
import json
import os
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.systems.params import VerlSystems
from tokenspectrum.systems.ray import node
from tokenspectrum.systems.ray.environment import DROPPED, variables
from tokenspectrum.systems.ray.places import Place, behind_srun, plan_places

_COUNT_S = 10.0  # until the head must see nodes that said they are up
_STOP_S = 20.0  # until a node must have ended after its stdin was closed
_STARTS = 3  # times that a Ray which breaks as it starts is started
_AGAIN_S = 1.0  # between two questions to a Ray that does not answer yet
_ASK_S = 90.0  # until a question that has no answer is put anew
_IDS = 2000  # of Ray's job ids, one of which a training takes by chance
_LOOK_S = 0.5  # between two looks at the nodes while a question waits


class NoAnswerError(UserError):
    """Ray did not answer, or a part of it died while it was asked."""


def check_census(systems: VerlSystems, seen: Sequence[Mapping[str, Any]]) -> None:
    """Raise UserError where Ray sees fewer nodes than systems.verl asks for, or too few that have its GPUs.

    A node without GPUs, such as the head of a cluster that is joined, is one more and does no harm.
    """
    if len(seen) < systems.nodes:
        there = ", ".join(one["ip"] for one in seen)
        raise UserError(f"Ray sees {len(seen)} of the {systems.nodes} nodes of systems.verl.nodes: {there}")
    lacking = [one for one in seen if one["gpus"] < systems.gpus_per_node]
    if len(seen) - len(lacking) < systems.nodes:
        raise UserError(
            f"Ray sees {lacking[0]['gpus']} GPUs on node {lacking[0]['ip']}, but systems.verl.gpus_per_node is "
            f"{systems.gpus_per_node}; ask for as many GPUs in the profile, or set it to what is there"
        )


class Node:
    """One process of node.py, here or behind srun."""

    def __init__(self, place: Place, command: Sequence[str], environment: Mapping[str, str], token: str) -> None:
        self.place, self.lines = place, []
        self.process = subprocess.Popen(
            [*behind_srun(place), *command],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.process.stdin is not None, "it is a pipe"
        assert self.process.stdout is not None, "it is a pipe"
        self._input, self._output = self.process.stdin, self.process.stdout
        self._send(f"{token}\n".encode())
        os.set_blocking(self._output.fileno(), False)

    def _send(self, text: bytes) -> None:
        try:
            self._input.write(text)
            self._input.flush()
        except BrokenPipeError:
            pass  # it ended at once; its output says why

    def read(self, wait: float = 0.0) -> None:
        """Read what the node has said; wait at most `wait` seconds for it."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            selector.select(wait)
        while line := self._output.readline():
            self.lines.append(line.decode(errors="replace").rstrip())

    @property
    def address(self) -> str | None:
        """Address of the head; known as soon as this node is up."""
        return next((x.removeprefix(node.READY) for x in self.lines if x.startswith(node.READY)), None)

    def check(self) -> None:
        """Raise UserError where the node has ended."""
        if self.process.poll() is not None:
            self.read()
            said = [x.removeprefix("error: ") for x in self.lines if x.startswith("error: ")] or self.lines
            reason = said[-1] if said else f"exit code {self.process.returncode}"
            raise UserError(f"the Ray node on {self.place.name} ended: {reason}")

    def release(self) -> None:
        """Close stdin: the node ends."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()

    def wait(self, until: float) -> None:
        try:
            self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._output.close()


class Cluster:
    """`with Cluster(...) as cluster: cluster.start(); cluster.check()`; at the end nothing of it is left."""

    def __init__(self, systems: VerlSystems, logs: Path) -> None:
        self.systems, self.logs = systems, logs
        self.places = plan_places(systems)
        self.name = secrets.token_hex(4)
        self.nodes: list[Node] = []
        self._token = node.new_token()
        self._skipped = secrets.randbelow(_IDS)
        one_machine = all(p.ip is not None and p.ip.startswith("127.") for p in self.places)
        given = {key: value for key, value in os.environ.items() if key not in DROPPED}
        self.environment = given | variables(systems, one_machine=one_machine)

    def __enter__(self) -> "Cluster":
        return self

    def start(self, stopped: Callable[[], bool]) -> None:
        """Start all nodes and wait until Ray sees every GPU that was asked for.  UserError names what is missing.

        On a busy machine a part of Ray may die in its first seconds, after it said that it is up.  Then all nodes start
        anew.  Returns without an error as soon as `stopped()` is true.
        """
        until = time.monotonic() + self.systems.start_timeout
        for attempt in range(1, _STARTS + 1):
            self._start_nodes(until, stopped)
            try:
                if not stopped():
                    self._count(until, stopped)
                return
            except NoAnswerError as e:
                if attempt == _STARTS or time.monotonic() > until:
                    raise
                print(f"{e}; it is started again", file=sys.stderr, flush=True)
                self._end_nodes()

    def _start_nodes(self, until: float, stopped: Callable[[], bool]) -> None:
        head = self._add(None)
        self._await([head], until, stopped)
        for _ in self.places[1:] if not stopped() else ():
            self._add(head.address)
        self._await(self.nodes, until, stopped)

    def _count(self, until: float, stopped: Callable[[], bool]) -> None:
        """Count nodes and GPUs, and ask again while Ray does not answer.  NoAnswerError where a node ends meanwhile."""

        def look() -> None:
            self._check_up()
            if stopped():
                raise NoAnswerError("nobody waits for the answer")

        with tempfile.TemporaryDirectory(prefix="ts-") as folder:
            environment = self.client_environment(Path(folder) / "token")
            while not stopped():
                left = max(1.0, until - time.monotonic())
                try:
                    return count(self.systems, self.address, environment, min(left, _ASK_S), look, self._skipped)
                except NoAnswerError:
                    if time.monotonic() > until:
                        raise
                time.sleep(_AGAIN_S)
                self._check_up()

    def _check_up(self) -> None:
        """Like `check`, of nodes that may be started anew: NoAnswerError."""
        try:
            self.check()
        except UserError as e:
            raise NoAnswerError(str(e)) from None

    @property
    def address(self) -> str:
        address = self.nodes[0].address
        if address is None:
            raise RuntimeError("the head of the Ray cluster is not up")
        return address

    def client_environment(self, token_file: Path) -> dict[str, str]:
        """Environment of a process here that connects to the cluster.  It carries the cluster's mark too."""
        token_file.unlink(missing_ok=True)
        os.close(os.open(token_file, os.O_CREAT | os.O_WRONLY, 0o600))
        token_file.write_text(self._token)
        own = {node.MARK: f"{self.name}-driver", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}
        return self.environment | own

    def check(self) -> None:
        """Raise UserError where a node has ended."""
        for one in self.nodes:
            one.check()

    def __exit__(self, *error: object) -> None:
        self._end_nodes()

    def _end_nodes(self) -> None:
        # The head ends last, so that the other nodes do not see it go.
        for one in reversed(self.nodes):
            one.release()
        until = time.monotonic() + _STOP_S
        for one in reversed(self.nodes):
            one.wait(until)
        node.kill_marked(lambda mark: mark.startswith(f"{self.name}-"))
        self.nodes.clear()

    def _add(self, head: str | None) -> Node:
        i = len(self.nodes)
        place = self.places[i]
        command = [sys.executable, "-m", "tokenspectrum.systems.ray.node", f"--name={self.name}-{i}"]
        command += [f"--logs={(self.logs / f'ray-node-{i}').resolve()}"]
        options = {"head": head, "ip": place.ip, "port": self.systems.ray_port if head is None else None}
        options["slots"] = self.systems.gpus_per_node if self.systems.device == "cpu" else None
        command += [f"--{name}={value}" for name, value in options.items() if value is not None]
        self.nodes.append(Node(place, command, self.environment, self._token))
        return self.nodes[-1]

    def _await(self, nodes: Sequence[Node], until: float, stopped: Callable[[], bool]) -> None:
        for one in nodes:
            while one.address is None and not stopped():
                self.check()
                if time.monotonic() > until:
                    raise UserError(f"{one.place.name}: Ray is not up after {_after(self.systems)}; see {self.logs}")
                one.read(0.2)


class JoinedCluster:
    """A Ray cluster that runs already and belongs to somebody else.  It is used and left as it is."""

    def __init__(self, systems: VerlSystems, address: str) -> None:
        if systems.device == "cpu":
            raise UserError("RAY_ADDRESS is set, but systems.verl.device is cpu: such a trial has a Ray of its own")
        self.systems, self.address = systems, address

    def __enter__(self) -> "JoinedCluster":
        return self

    def start(self, stopped: Callable[[], bool]) -> None:
        """Check that Ray sees every node and GPU that was asked for.  UserError names what is missing."""
        count(self.systems, self.address, os.environ, self.systems.start_timeout)

    def client_environment(self, token_file: Path) -> dict[str, str]:
        """Environment of the driver.  The cluster's token is in our own environment already."""
        return os.environ | variables(self.systems, one_machine=False)

    def check(self) -> None:
        """Do nothing: its nodes are not ours to watch.  The driver ends if it loses a node that it needs."""

    def __exit__(self, *error: object) -> None:
        pass


def count(
    systems: VerlSystems,
    address: str,
    environment: Mapping[str, str],
    seconds: float,
    look: Callable[[], None] = lambda: None,
    skipped: int = 0,
) -> None:
    """Ask Ray itself for its nodes and their GPUs.  UserError if there are too few; NoAnswerError if it is silent.

    A Ray whose raylet has died may never answer.  So `look` is called meanwhile, and what it raises ends the wait.
    `skipped` of Ray's job ids are left out then (census.py).
    """
    command = [sys.executable, "-m", "tokenspectrum.systems.ray.census", address, str(systems.nodes), str(_COUNT_S)]
    command.append(str(skipped))
    until = time.monotonic() + seconds + _COUNT_S
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, err = _outcome(process, until, look)
        except subprocess.TimeoutExpired:
            raise NoAnswerError(f"Ray at {address} does not answer after {_after(systems)}") from None
        finally:
            process.kill()  # nothing, where it has ended
    if process.returncode:
        raise NoAnswerError(f"Ray at {address} cannot be used: {(err.splitlines() or ['?'])[-1]}")
    check_census(systems, json.loads(out.splitlines()[-1]))


def _outcome(process: subprocess.Popen[str], until: float, look: Callable[[], None]) -> tuple[str, str]:
    while True:
        try:
            return process.communicate(timeout=_LOOK_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() > until:
                raise
        look()


def _after(systems: VerlSystems) -> str:
    return f"{systems.start_timeout:g} s (systems.verl.start_timeout)"
