"""A real Slurm of this machine's own: its own munged, slurmctld and slurmd, in a temporary folder, and nothing else's.

It is one for all workers of pytest-xdist, so whoever asks for jobs asks for those of a clone.

Needs root and Debian's packages slurm-wlm and munge (slurmd there is built with multiple-slurmd support).  The one
thing outside the folder is the link /etc/slurm/slurm.conf: jobs read it, for Snakemake's job step plugin strips
SLURM_CONF.  A Slurm that is already on the machine is left alone: `obstacle` says why there can be no cluster here.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CONF = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
_ALL = ("-h", "-r", "-t", "all", "-S", "i")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
LANES = ("kills", "calm", "verl")
GPUS_PER_NODE = 8  # plain files, enough to ask for


def processes(*names: str) -> list[tuple[int, str]]:
    """(pid, name) of the running processes that are called one of `names`."""
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = comm.read_text().strip()
        except OSError:  # ended meanwhile
            continue
        if name in names:
            found.append((int(comm.parent.name), name))
    return found


def obstacle() -> str | None:
    """Why no cluster can be started here; None if one can."""
    if os.geteuid():
        return "starting a Slurm takes root"
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"{', '.join(missing)} not installed: apt-get install --no-install-recommends slurm-wlm munge"
    if running := processes("slurmctld", "slurmd", "slurmdbd"):
        return f"a Slurm is running already: {running[0][1]}, pid {running[0][0]}"
    # A link into a folder that is gone, or has no daemon left, is what a killed session leaves.
    if CONF.exists() and not (CONF.is_symlink() and (CONF.resolve().parent / "cluster-of-tests").exists()):
        return f"{CONF} is there: a Slurm is set up on this machine, and it is left alone"
    return None


def free_ports(n: int) -> list[int]:
    """Ports that nothing listens on now."""
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for(what: str, probe: Callable[[], T], seconds: float, every: float = 0.1) -> T:
    """The first true value of `probe`."""
    end = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(every)
    return value


@dataclass(frozen=True)
class Job:
    """A job as squeue shows it; `stage` is the comment that leads to the stage."""

    id: str
    state: str
    stage: str
    node: str


class Cluster:
    """slurmctld and six slurmd, named n1 to n6, each offering all cores and half of the memory.

    Partitions: cpu and gpu of all nodes, and LANES of two each, so that what is done to a node in one does not matter
    in the others.  `start` starts it; an object that was not started knows one that runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes = [f"n{i + 1}" for i in range(2 * len(LANES))]
        self._pids: dict[str, int] = {}

    def _configuration(self) -> str:
        host, folder = socket.gethostname().split(".")[0], self.folder
        control, *ports = free_ports(1 + len(self.nodes))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**21
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
            f"CPUs={os.cpu_count()} RealMemory={memory} Gres=gpu:{GPUS_PER_NODE} State=UNKNOWN"
            for name, port in zip(self.nodes, ports, strict=True)
        )
        lanes = "\n".join(
            f"PartitionName={lane} Nodes=n{2 * i + 1},n{2 * i + 2} MaxTime=INFINITE State=UP"
            for i, lane in enumerate(LANES)
        )
        return f"""\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket,cred_expire=60
SlurmctldPort={control}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmdSpoolDir={folder}/state/%n
StateSaveLocation={folder}/state/ctld
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
MinJobAge=600
KillWait=15
SlurmdTimeout=300
MessageTimeout=60
{nodes}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
{lanes}
"""

    def _daemon(self, name: str, *command: str) -> None:
        pid_file = self.folder / f"run/{name}.pid"
        subprocess.run(command, check=True, capture_output=True, text=True)
        self._pids[name] = int(wait_for(f"{name}'s pid", lambda: pid_file.exists() and pid_file.read_text(), 60))

    def start(self) -> None:
        """Start every daemon and wait until all nodes are idle; RuntimeError, saying why, where none may be."""
        if why := obstacle():
            raise RuntimeError(why)
        for name in ("run", "log", "state/ctld", *(f"state/{n}" for n in self.nodes)):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "run").chmod(0o755)
        (self.folder / "cluster-of-tests").touch()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        (self.folder / "slurm.conf").write_text(self._configuration())
        for gpu in range(GPUS_PER_NODE):
            (self.folder / f"gpu{gpu}").touch()
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-{GPUS_PER_NODE - 1}]\n")
        self._link(CONF, "slurm.conf")
        self._link(CONF.with_name("gres.conf"), "gres.conf")
        files = {"key-file": "munge.key", "socket": "run/munge.socket", "pid-file": "run/munged.pid"}
        files |= {"log-file": "log/munged.log", "seed-file": "munge.seed"}
        # --force: the folder of a test belongs to root, with a mode that munged finds too open.
        self._daemon("munged", "munged", "--force", *(f"--{k}={self.folder / v}" for k, v in files.items()))
        self._daemon("slurmctld", "slurmctld")
        for name in self.nodes:
            self.start_node(name)
        wait_for("all nodes idle", lambda: self.states() == dict.fromkeys(self.nodes, "idle"), 120)

    def _link(self, link: Path, name: str) -> None:
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)  # ours, `obstacle` made sure
        link.symlink_to(self.folder / name)

    def start_node(self, name: str) -> None:
        """Start the slurmd of node `name`."""
        self._daemon(f"slurmd-{name}", "slurmd", "-N", name)

    def stop(self) -> None:
        """End every daemon that was started here, by its pid, jobs first; the links go too."""
        if "slurmctld" in self._pids:
            self.cancel_all()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self._pids.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(AssertionError):
                wait_for("all daemons gone", lambda: not any(map(running, self._pids.values())), 3)
        self._pids.clear()
        for link in (CONF, CONF.with_name("gres.conf")):
            if link.is_symlink() and link.readlink().parent == self.folder:
                link.unlink()

    def call(self, *command: str) -> str:
        """A command of Slurm's; its output."""
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def states(self) -> dict[str, str]:
        """State by node."""
        return dict(line.split() for line in self.call("sinfo", "-h", "-N", "-o", "%N %T").splitlines())

    def jobs(self, clone: Path | None = None) -> list[Job]:
        """The jobs that Slurm remembers (MinJobAge: ten minutes), of one clone or all, the oldest first."""
        rows = [line.split("|") for line in self.call("squeue", *_ALL, "-o", "%i|%T|%k|%N|%Z").splitlines()]
        return [Job(*row[:-1]) for row in rows if clone is None or row[-1] == str(clone)]

    def active(self, clone: Path | None = None) -> list[Job]:
        """Jobs that have not ended."""
        return [job for job in self.jobs(clone) if job.state not in ENDED]

    def cancel_all(self) -> None:
        """Cancel what has not ended and wait until it has."""
        self.call("scancel", "--user", "root")
        wait_for("all jobs ended", lambda: not self.active(), 120)

    def hurry(self, clone: Path) -> None:
        """Start now what was requeued and has ended: Slurm waits until the old start's credentials have expired."""
        for line in self.call("squeue", "-h", "-r", "-t", "PENDING", "-o", "%i|%A|%r|%Z").splitlines():
            job, number, reason, folder = line.split("|")
            # A job that is started on its old node before it is gone from there is held, and the node drained.
            if (reason, folder) == ("BeginTime", str(clone)) and not on_a_node(number):
                subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], capture_output=True)

    def limit(self, job: str, seconds: int) -> None:
        """Have a running job's time run out in no less than so long: the limit counts in whole minutes."""
        spent = self.call("squeue", "-h", "-j", job, "-o", "%M").strip()
        passed = sum(int(part) * 60**i for i, part in enumerate(reversed(spent.split(":"))))
        self.call("scontrol", "update", f"JobId={job}", f"TimeLimit={-(-(passed + seconds) // 60)}")

    def show(self, job: str) -> dict[str, str]:
        """`scontrol show job` as a mapping."""
        words = self.call("scontrol", "-o", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)


def on_a_node(number: str) -> bool:
    """Whether a node still has a step of a job, by the title of the step's daemon."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # ended meanwhile
            if file.read_bytes().startswith(f"slurmstepd: [{number}.".encode()):
                return True
    return False


def running(pid: int) -> bool:
    """Whether a process is there."""
    return Path(f"/proc/{pid}").exists()
