"""Where the Ray nodes of a job run: this machine, several addresses of it, or the hosts of a Slurm allocation.

The head's place is first.  Knows systems.verl and Slurm's variables and commands.  Starts nothing.
"""

import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from tokenspectrum.errors import UserError
from tokenspectrum.systems.params import VerlSystems

# Not .1: Ray takes it for the machine's address in its network.  Then verl's vLLM would listen there without a token.
_LOCAL = "127.0.0.2"


@dataclass(frozen=True)
class Place:
    """Where a node runs: a host of the allocation (None: here) and its IP address (None: the one that Ray finds)."""

    host: str | None
    ip: str | None

    @property
    def name(self) -> str:
        return ", ".join(filter(None, [self.host, self.ip])) or "this machine"


def plan_places(systems: VerlSystems, environment: Mapping[str, str] = os.environ) -> list[Place]:
    """The nodes' places, with the head's first.  UserError if there are fewer machines than nodes."""
    given = systems.node_addresses
    if systems.nodes == 1:
        return [Place(None, given[0] if given else _LOCAL)]
    job = environment.get("SLURM_JOB_ID")
    hosts = _slurm_hosts(job, environment) if job else []
    if len(hosts) > 1:
        if len(hosts) < systems.nodes:
            raise UserError(
                f"systems.verl.nodes is {systems.nodes}, but Slurm gave job {job} {len(hosts)} ({', '.join(hosts)}); "
                f"ask for {systems.nodes} in the profile, or set systems.verl.nodes to {len(hosts)}"
            )
        addresses = given or [None] * systems.nodes
        return [Place(host, ip) for host, ip in zip(hosts[: systems.nodes], addresses, strict=True)]
    if given is None:
        raise UserError(
            f"systems.verl.nodes is {systems.nodes}, but this is one machine: run under Slurm with that many nodes, "
            "give systems.verl.node_addresses for several nodes on one machine, or set RAY_ADDRESS to join a Ray"
        )
    return [Place(None, ip) for ip in given]


def _slurm_hosts(job: str, environment: Mapping[str, str]) -> list[str]:
    """Hosts of the allocation, this one first.  The driver needs a Ray node on its own machine, which is the head."""
    # Snakemake's job step plugin strips Slurm's variables.
    listed = environment.get("SLURM_JOB_NODELIST") or _ask_slurm("squeue", "--noheader", f"--jobs={job}", "--format=%N")
    here = {environment.get("SLURMD_NODENAME"), socket.gethostname(), socket.gethostname().split(".")[0]}
    return sorted(_ask_slurm("scontrol", "show", "hostnames", listed).split(), key=lambda host: host not in here)


def _ask_slurm(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except FileNotFoundError:
        raise UserError(f"SLURM_JOB_ID is set, but {command[0]} is not installed; unset it outside Slurm") from None
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
        said = (e.stderr or "").strip().splitlines() or [str(e)]
        raise UserError(f"{' '.join(command)} failed: {said[-1]}") from None


def behind_srun(place: Place) -> list[str]:
    """The srun words before a node's command: one task on its host, with all that the job has there."""
    if place.host is None:
        return []
    # -N and -n are given, because the variables that srun would read may be missing from the environment.
    return ["srun", "-N1", "-n1", f"--nodelist={place.host}", "--overlap", "--mem=0", "--cpu-bind=none", "--quiet"]
