"""Checks of a Slurm site: the controller, the profile's partitions and accounts, one tiny job.

Slurm itself gives all answers: `sbatch --test-only` says whether it would accept a job of a rule.
"""

import ast
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from snakedvc.dvcfiles.locks import exclusive
from snakedvc.site.checks import TEMPORARY, Check, last_line, run
from snakedvc.site.slurm import GUARD_ENV
from snakedvc.yamlfile import load_yaml

# Resources of the profile, and the options of sbatch for them.
_OPTIONS = {
    "slurm_partition": "--partition",
    "slurm_account": "--account",
    "mem_mb": "--mem",
    "runtime": "--time",
    "nodes": "--nodes",
    "gres": "--gres",
    "constraint": "--constraint",
    "qos": "--qos",
}


def _plain(value: Any) -> str | None:
    """A resource's value without Snakemake's inner quotes; None for an expression."""
    if not isinstance(value, str):
        return str(value)
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value if re.fullmatch(r"[\w:-]+", value) else None  # such as gpu:8
    return str(found)


def options(resources: Mapping[str, Any]) -> list[str]:
    """The options of sbatch for a rule's resources."""
    found = [(option, _plain(resources[name])) for name, option in _OPTIONS.items() if name in resources]
    return [f"{option}={value}" for option, value in found if value is not None]


def _rules(profile: Mapping[str, Any], rules: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """(rules, options) of every kind of job: what the rules ask for, overridden by the profile."""
    default, changed = profile.get("default-resources", {}), profile.get("set-resources", {})
    kinds: dict[tuple[str, ...], list[str]] = {}
    for rule, own in rules.items():
        if not own.get("local"):
            kinds.setdefault(tuple(options({**default, **own, **changed.get(rule, {})})), []).append(rule)
    yield from ((", ".join(rules), list(found)) for found, rules in kinds.items())


def profile(path: Path, rules: Callable[[], Mapping[str, Mapping[str, Any]]]) -> Iterator[Check]:
    """Check that sbatch is there, that the controller answers, and that every kind of job would be accepted.

    `rules()`: what the jobs of each rule ask for, before the profile in `path` changes it.
    """
    settings = load_yaml(path)
    if shutil.which("sbatch") is None:
        what = "no sbatch on this machine: log in where Slurm's commands are, or load its module"
        yield Check("slurm", "fail", f"{what}; `--profile local` checks the rest")
        return
    done = run("sinfo", "--noheader", "--format=%P %a %D")
    if done.returncode or not done.stdout.strip():
        yield Check("slurm", "fail", f"{last_line(done)}: ask your site's administrators, or `scontrol ping`")
        return
    partitions = [line.split()[0] for line in done.stdout.splitlines()]
    yield Check("slurm", "ok", f"answers; partitions {', '.join(sorted(set(partitions)))} (* is the default)")
    for names, found in _rules(settings, rules()):
        done = run("sbatch", "--test-only", *found, "--wrap=true")
        asked = " ".join(o for o in found if o.startswith(("--partition", "--account", "--gres", "--nodes")))
        if done.returncode:
            why = last_line(done).removeprefix("allocation failure: ").removeprefix("sbatch: error: ")
            yield Check("jobs", "fail", f"{names}: {' '.join(found)}: {why}: edit {path}")
        else:
            yield Check("jobs", "ok", f"{names}: accepted{f' ({asked})' if asked else ''}")
    yield _status(settings, path)


def _status(settings: Mapping[str, Any], path: Path) -> Check:
    if settings.get("slurm-status-command") == "squeue":
        config = run("scontrol", "show", "config").stdout
        age = next((line.split("=")[1].split()[0] for line in config.splitlines() if "MinJobAge" in line), "?")
        if age.isdigit() and int(age) < 60:
            return Check("job states", "warn", f"by squeue, which forgets a job after {age} s (MinJobAge): 60 or more")
        return Check("job states", "ok", "by squeue")
    done = run("sacct", "--noheader", "--allocations", "--starttime=now")
    if done.returncode:
        return Check("job states", "fail", f"{last_line(done)}: set `slurm-status-command: squeue` in {path}")
    return Check("job states", "ok", "by sacct")


def submit(path: Path, gpu: bool, seconds: float, words: str) -> Iterator[Check]:
    """Submit a tiny job.  It has to see a file and a lock of this machine, and we have to see its answer.

    `words`: the function, as MODULE:FUNCTION, that says on the node what it has for stages (node_check.py).
    """
    settings = load_yaml(path)
    folder = TEMPORARY / uuid.uuid4().hex
    folder.mkdir(parents=True)
    (folder / "question").write_text(socket.gethostname())
    default = options(
        {k: v for k, v in settings.get("default-resources", {}).items() if k not in ("mem_mb", "runtime")}
    )
    wish = ["--gpus=1"] if gpu else []
    node = f"{shlex.quote(sys.executable)} -m snakedvc.site.node_check {shlex.join([str(folder), words])}"
    # The site's set-up of a node runs as for a stage.  The guard does not run, since it is for stages only.
    before = settings.get("precommand")
    script = f'export {GUARD_ENV}="$SLURM_JOB_ID"; {before}; {node}' if before else node
    command = ["sbatch", "--parsable", *default, *wish, "--time=5", "--mem=1000", f"--output={folder}/log"]
    try:
        with exclusive(folder / "lock"):
            done = run(*command, "--job-name=snakedvc-doctor", f"--wrap={script}")
            if done.returncode:
                yield Check("node", "fail", f"{last_line(done)}: edit {path}")
                return
            job = done.stdout.strip().split(";")[0]
            yield from _answer(folder, job, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answer(folder: Path, job: str, seconds: float) -> Iterator[Check]:
    answer, end = folder / "answer", time.monotonic() + seconds
    while not answer.exists() and time.monotonic() < end:
        os.listdir(folder)  # makes NFS look again
        if (folder / "log").exists() and not run("squeue", "--noheader", f"--jobs={job}").stdout.strip():
            time.sleep(5)
            break
        time.sleep(1)
    if not answer.exists():
        subprocess.run(["scancel", job], check=False, capture_output=True)
        said = (folder / "log").read_text().strip().splitlines()[-1:] if (folder / "log").exists() else []
        why = said[0] if said else f"no answer within {seconds:.0f} s (--wait gives it longer)"
        yield Check("node", "fail", f"job {job}: {why}: the repository and {sys.executable} must be there on the nodes")
        return
    found = json.loads(answer.read_text())
    yield Check("node", "ok", f"job {job} on {found['host']} saw this folder and answered in it")
    if found["same_host"]:
        yield Check("locks on nodes", "warn", "the job ran on this very machine: locks across hosts were not tested")
    elif found["lock"] == "held":
        yield Check("locks on nodes", "ok", "a lock that is held here is held there")
    else:
        what = f"a lock that is held here is {found['lock']} there: mount with flock (Lustre: -o flock, not localflock)"
        yield Check("locks on nodes", "fail", what)
    if found["problem"]:
        yield Check("python on nodes", "fail", f"{found['problem']}: see job.sh beside the profile")
    else:
        yield Check("python on nodes", "ok", f"{found['python']}, {found['has']}")
