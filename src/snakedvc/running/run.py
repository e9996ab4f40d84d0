"""Run one stage: bring its outputs back from the cache, or execute it from a frozen copy and store them.

    python -m snakedvc.running.run train@full-1 --log FILE

Takes no lock of the repository and never writes dvc.lock: what it writes is content-addressed or its own, so any
number of runs may go on at once, on any host.  Exit 0: outputs are there.  1: failed or refused.  3: superseded, the
code or the params changed meanwhile; the outputs are cached under what they were made with, and Snakemake has to plan
again.  75: stopped by SIGTERM after a checkpoint; a Slurm job puts itself back into the queue.
"""

import argparse
import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from snakedvc.code.freeze import CODE_ROOT, code_entries, frozen_copy
from snakedvc.dvcfiles.cache import Cache
from snakedvc.dvcfiles.config import read_config
from snakedvc.dvcfiles.digest import digest
from snakedvc.dvcfiles.locks import exclusive, stage_lock, writing
from snakedvc.dvcfiles.pipeline import Pipeline, Stage, load_pipeline
from snakedvc.dvcfiles.records import Record, Records, inputs_of, make_record, run_key, save_fragment
from snakedvc.dvcfiles.remote import open_remote
from snakedvc.dvcfiles.seen import remember, signatures
from snakedvc.errors import ProjectError
from snakedvc.running import journal
from snakedvc.running.inputs import RefusedError, check_inputs, data_entries
from snakedvc.running.restore import candidates, remove, restore, say
from snakedvc.settings import Systems, load_settings
from snakedvc.site import slurm

# What a stage is told in its environment: its frozen params, where its logs go, where its checkpoints go.
PARAMS_ENV, LOG_DIR_ENV, CHECKPOINT_ENV = "TOKENSPECTRUM_PARAMS", "TOKENSPECTRUM_LOG_DIR", "CHECKPOINT_DIR"
CHECKPOINTS = Path(".ckpt")
SUPERSEDED = 3
STOPPED = 75  # of a stage's command too: not finished, no error; the same command goes on from its checkpoint


class SupersededError(ProjectError):
    """Code or params changed while the stage ran; its outputs are cached under the old ones."""


class StageFailedError(ProjectError):
    """The stage's own command failed."""


class StoppedError(ProjectError):
    """The stage's command was told to stop, and left a checkpoint to go on from."""


def last_words(log: Path) -> str:
    """Why a command failed, from its log: its error line, or the end of its traceback."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    if lines and lines[-1].startswith("error: "):
        return lines[-1].removeprefix("error: ")
    tail = "\n  ".join(lines[-12:])
    hint = "\n(an import that dvc.yaml does not list? run `spectrum deps`)" if "ModuleNotFoundError" in tail else ""
    return f"its command failed; the end of {log}:\n  {tail}{hint}"


def execute(stage: Stage, frozen: Path, checkpoints: Path, log: Path, lock: int) -> None:
    """Run the stage's command from the frozen copy, its output going to `log`; StageFailedError if it fails."""
    stage.log_dir.mkdir(parents=True, exist_ok=True)
    checkpoints.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    for out in stage.outs:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
    code = os.path.abspath(frozen / CODE_ROOT)
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")])),
        "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", os.defpath),
        PARAMS_ENV: os.path.abspath(frozen / "params.yaml"),
        LOG_DIR_ENV: os.path.abspath(stage.log_dir),
        CHECKPOINT_ENV: os.path.abspath(checkpoints),
    }
    with log.open("wb") as f:
        # The command inherits the stage's lock: if this process is killed, the next run waits for the command's end.
        # In a group of its own, so that the shell and all it started can be ended together.  The trap has the shell
        # wait for what it started: a signal would end it at once, and its end says nothing of a checkpoint.
        command = f"trap : TERM\n{stage.cmd}"
        process = subprocess.Popen(
            command, shell=True, env=env, stdout=f, stderr=subprocess.STDOUT, pass_fds=[lock], process_group=0
        )
        try:
            status = process.wait()
        except BaseException as e:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm and the guard of its job may both send it
            os.killpg(process.pid, signal.SIGTERM)  # training writes a checkpoint first
            status = process.wait()
            # Told to stop when there was nothing left to do: its outputs are as good as any.
            if not (isinstance(e, SystemExit) and status in (0, STOPPED)):
                raise
    if status == STOPPED:
        raise StoppedError(f"{stage.addr}: stopped after a checkpoint; run it again to go on")
    if status:
        raise StageFailedError(f"{stage.addr}: {last_words(log)}")
    for out in stage.outs:
        if not os.path.exists(out):
            raise StageFailedError(f"{stage.addr}: its command succeeded without writing {out}")


def superseded_by(stage: Stage, made_with: Record) -> str | None:
    """What of cmd, code and params differs now from what the run started with; None if nothing does."""
    try:
        pipeline = load_pipeline()
        now = pipeline.stage(stage.addr)
        record = make_record(now.cmd, code_entries(now), pipeline.values(now))
    except ProjectError as e:
        return str(e)
    code = {d["path"]: d["md5"] for d in made_with["deps"] if d["path"].startswith(CODE_ROOT)}
    cmd, now_code, params = inputs_of(record)
    if cmd != made_with["cmd"] or params != made_with.get("params", {}) or now.outs != stage.outs:
        return "its command or params changed"
    changed = sorted(path for path in code.keys() | now_code.keys() if code.get(path) != now_code.get(path))
    return f"{', '.join(changed)} changed" if changed else None


def run_and_store(
    pipeline: Pipeline, stage: Stage, wanted: Record, frozen: Path, log: Path, lock: int, cache: Cache, systems: Systems
) -> Record:
    """Execute and store; the full record.  Raises when the result must not stand for the present tree."""
    key = run_key(wanted, stage.outs)
    checkpoints = CHECKPOINTS / stage.addr / key[:16]
    remove(stage.outs)
    started = time.time()
    execute(stage, frozen, checkpoints, log, lock)
    data = {d["path"]: d["md5"] for d in wanted["deps"] if not d["path"].startswith(CODE_ROOT)}
    now = {d["path"]: d["md5"] for d in data_entries(pipeline, stage)}
    if changed := sorted(path for path in data if data[path] != now[path]):
        raise RefusedError(
            f"{stage.addr}: refused: {', '.join(changed)} changed while it ran; its outputs are discarded: run again"
        )
    found = signatures(stage.outs)  # before they are read: what changes from now on does not look unchanged
    record = {**wanted, "outs": [cache.store(Path(out)).entry(out) for out in sorted(stage.outs)]}
    cache.save_record(record)
    remember(stage.addr, record["outs"], found)
    shutil.rmtree(checkpoints)  # only now: until the outputs are safe, a rerun goes on from the checkpoint
    with contextlib.suppress(OSError):  # checkpoints of other params may lie beside it
        checkpoints.parent.rmdir()
    beside = {path: digest(frozen / path).md5 for path in systems.code}
    journal.write_provenance(stage.log_dir, key=key, started=started, systems=systems, code=beside)
    if why := superseded_by(stage, wanted):
        raise SupersededError(
            f"{stage.addr}: superseded: {why} while it ran; "
            "its outputs are cached under what they were made with: run again"
        )
    return record


def make(stage: Stage, pipeline: Pipeline, log: Path, lock: int) -> tuple[journal.How, str]:
    """Restore or run `stage`; how, and its run-cache key."""
    config, records = read_config(), Records()
    cache, remote = Cache(config.cache_dir), open_remote(config)
    systems = load_settings().systems(stage.data, pipeline.params)
    with frozen_copy(stage, pipeline.values(stage), systems.params, systems.code) as frozen:
        code = code_entries(stage, frozen)  # hashed from the copy: the bytes that will run
        wanted = make_record(stage.cmd, code + data_entries(pipeline, stage), pipeline.values(stage))
        key = run_key(wanted, stage.outs)
        how: journal.How = "ran"
        for found in candidates(key, wanted, stage.addr, records, cache, remote):
            if restore(stage, found, cache, remote) == "restored":
                how, record = "restored", {**wanted, "outs": found["outs"]}
                remember(stage.addr, record["outs"], signatures(stage.outs))
                break
        else:
            check_inputs(pipeline, stage, records, cache)
            record = run_and_store(pipeline, stage, wanted, frozen, log, lock, cache, systems)
    if how == "restored":
        cache.save_record(record)
    save_fragment(stage.addr, record)
    return how, key


def locked_run(addr: str, log: Path | None) -> tuple[journal.How, str]:
    """Restore or run the stage at `addr` under its own lock; after any failure its outputs are gone."""
    load_pipeline().stage(addr)  # an unknown address makes no lock
    # A job of a driver that was killed may still be at it: rather than hold nodes and wait, queue up behind it.
    if (other := slurm.holder(stage_lock(addr))) and slurm.requeue(after=other):
        raise StoppedError(f"{addr}: job {other} is at it: back into the queue until it has ended")
    with exclusive(stage_lock(addr)) as lock, writing(addr):
        slurm.sign(lock)
        pipeline = load_pipeline()  # again: another run of the stage may have held the lock for long
        stage = pipeline.stage(addr)
        try:
            return make(stage, pipeline, log or stage.log_dir / "output.log", lock)
        except BaseException:
            remove(stage.outs)
            raise


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="snakedvc.running.run", description="restore or run one stage of dvc.yaml")
    parser.add_argument("addr", help="stage address, such as train@full-1")
    parser.add_argument("--log", type=Path, help="file for the command's output; default logs/STAGE/ADDR/output.log")
    args = parser.parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda received, _: sys.exit(128 + received))
    began, how, key = time.time(), "failed", None
    slurm.announce(args.addr)
    try:
        how, key = locked_run(args.addr, args.log)
        say(f"{args.addr}: {how}")
    except SupersededError as e:
        how = "superseded"
        say(f"error: {e}")
        sys.exit(SUPERSEDED)
    except StoppedError as e:
        how = "stopped"
        say(str(e))
    except ProjectError as e:
        how = "refused" if isinstance(e, RefusedError) else "failed"
        sys.exit(f"error: {e}")
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(f"error: {args.addr}: the disk is full: free some room and run again; nothing was accepted")
    finally:
        journal.note(args.addr, how, key, time.time() - began)
    if how == "stopped":
        slurm.requeue()
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
