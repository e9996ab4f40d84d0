"""Run one stage: bring its outputs back from the cache, or execute it from a frozen copy and store them.

    python -m workflow.bridge.run train@full-1 --log FILE

Takes no lock of the repository and never writes dvc.lock: what it writes is content-addressed or its own, so any
number of runs may go on at once, on any host.  Exit 0: outputs are there.  1: failed or refused.  3: superseded, the
code or the params changed meanwhile; the outputs are cached under what they were made with, and Snakemake has to plan
again.
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
from collections.abc import Callable, Iterator
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import PARAMS_ENV
from tokenspectrum.progress import LOG_DIR_ENV
from workflow.bridge import journal
from workflow.bridge.cache import Cache, DamagedObjectError, MissingObjectError
from workflow.bridge.freeze import CODE_ROOT, SYSTEMS, code_entries, frozen_copy
from workflow.bridge.inputs import RefusedError, check_inputs, data_entries
from workflow.bridge.pipeline import Pipeline, Stage, load_pipeline
from workflow.bridge.project import read_config
from workflow.bridge.records import Record, Records, exclusive, inputs_of, make_record, run_key, save_fragment

RUN_LOCKS = Path(".dvc/tmp/run.d")
CHECKPOINTS = Path(".ckpt")
SUPERSEDED = 3


class SupersededError(UserError):
    """Code or params changed while the stage ran; its outputs are cached under the old ones."""


class StageFailedError(UserError):
    """The stage's own command failed."""


def remove_outs(stage: Stage) -> None:
    """Delete the stage's outputs from the working tree; the cache keeps what it has."""
    for out in map(Path, stage.outs):
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        else:
            out.unlink(missing_ok=True)


def ask_remote(fetch: Callable[..., None], *args: object) -> None:
    """Fetch from the remote; one that cannot be reached is no reason not to run."""
    try:
        fetch(*args)
    except Exception as e:  # each kind of remote raises its own library's errors
        say(f"the DVC remote did not answer ({type(e).__name__}: {e}): going on without it")


def candidates(key: str, wanted: Record, addr: str, records: Records, cache: Cache, remote: bool) -> Iterator[Record]:
    """Records of earlier runs from just these inputs: the run cache's, dvc.lock's, the remote's."""
    yield from cache.records(key)
    # After a plain `dvc pull` there are objects and dvc.lock, but no run records.  Compared before anything is
    # recorded anew: a lock entry of other inputs must never look valid.
    last = records.get(addr)
    if last is not None and inputs_of(last) == inputs_of(wanted):
        yield last
    if remote:
        from workflow.bridge.remote import fetch_records  # imports DVC

        ask_remote(fetch_records, key, cache)
        yield from cache.records(key)


def restore(stage: Stage, record: Record, cache: Cache, remote: bool) -> bool:
    """Whether the outputs of `record` could be brought back whole and undamaged."""
    if sorted(o["path"] for o in record["outs"]) != sorted(stage.outs):
        return False
    for _ in range(2):  # a damaged object may come back sound from the remote
        if remote and cache.missing(record["outs"]):
            from workflow.bridge.remote import fetch_objects  # imports DVC

            ask_remote(fetch_objects, record["outs"], cache)
        remove_outs(stage)
        try:
            for entry in record["outs"]:
                cache.restore(entry)
            return True
        except MissingObjectError:
            return False
        except DamagedObjectError as e:
            say(f"{stage.addr}: cache object {e} is damaged and was dropped")
    return False


def say(line: str) -> None:
    """One line to the terminal."""
    print(line, file=sys.stderr, flush=True)


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
        "CHECKPOINT_DIR": os.path.abspath(checkpoints),
    }
    with log.open("wb") as f:
        # The command inherits the stage's lock: if this process is killed, the next run waits for the command's end.
        # In a group of its own, so that the shell and all it started can be ended together.
        process = subprocess.Popen(
            stage.cmd, shell=True, env=env, stdout=f, stderr=subprocess.STDOUT, pass_fds=[lock], process_group=0
        )
        try:
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)  # training writes a checkpoint first
            process.wait()
            raise
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
    except UserError as e:
        return str(e)
    code = {d["path"]: d["md5"] for d in made_with["deps"] if d["path"].startswith(CODE_ROOT)}
    cmd, now_code, params = inputs_of(record)
    if cmd != made_with["cmd"] or params != made_with.get("params", {}) or now.outs != stage.outs:
        return "its command or params changed"
    changed = sorted(path for path in code.keys() | now_code.keys() if code.get(path) != now_code.get(path))
    return f"{', '.join(changed)} changed" if changed else None


def run_and_store(
    pipeline: Pipeline, stage: Stage, wanted: Record, frozen: Path, log: Path, lock: int, cache: Cache
) -> Record:
    """Execute and store; the full record.  Raises when the result must not stand for the present tree."""
    key = run_key(wanted, stage.outs)
    checkpoints = CHECKPOINTS / stage.addr / key[:16]
    remove_outs(stage)
    started = time.time()
    execute(stage, frozen, checkpoints, log, lock)
    data = {d["path"]: d["md5"] for d in wanted["deps"] if not d["path"].startswith(CODE_ROOT)}
    now = {d["path"]: d["md5"] for d in data_entries(pipeline, stage)}
    if changed := sorted(path for path in data if data[path] != now[path]):
        raise RefusedError(
            f"{stage.addr}: refused: {', '.join(changed)} changed while it ran; its outputs are discarded: run again"
        )
    record = {**wanted, "outs": [cache.store(Path(out)).entry(out) for out in sorted(stage.outs)]}
    cache.save_record(record)
    shutil.rmtree(checkpoints)  # only now: until the outputs are safe, a rerun goes on from the checkpoint
    with contextlib.suppress(OSError):  # checkpoints of other params may lie beside it
        checkpoints.parent.rmdir()
    journal.write_provenance(stage.log_dir, key=key, started=started, systems=pipeline.params.get(SYSTEMS))
    if why := superseded_by(stage, wanted):
        raise SupersededError(
            f"{stage.addr}: superseded: {why} while it ran; "
            "its outputs are cached under what they were made with: run again"
        )
    return record


def make(stage: Stage, pipeline: Pipeline, log: Path, lock: int) -> tuple[journal.How, str]:
    """Restore or run `stage`; how, and its run-cache key."""
    config, records = read_config(), Records()
    cache, remote = Cache(config.cache_dir), config.remote is not None
    with frozen_copy(stage, pipeline.values(stage), pipeline.params.get(SYSTEMS)) as frozen:
        code = code_entries(stage, frozen)  # hashed from the copy: the bytes that will run
        wanted = make_record(stage.cmd, code + data_entries(pipeline, stage), pipeline.values(stage))
        key = run_key(wanted, stage.outs)
        how: journal.How = "ran"
        for found in candidates(key, wanted, stage.addr, records, cache, remote):
            if restore(stage, found, cache, remote):
                how, record = "restored", {**wanted, "outs": found["outs"]}
                break
        else:
            check_inputs(pipeline, stage, records, cache)
            record = run_and_store(pipeline, stage, wanted, frozen, log, lock, cache)
    if how == "restored":
        cache.save_record(record)
    save_fragment(stage.addr, record)
    return how, key


def locked_run(addr: str, log: Path | None) -> tuple[journal.How, str]:
    """Restore or run the stage at `addr` under its own lock; after any failure its outputs are gone."""
    load_pipeline().stage(addr)  # an unknown address makes no lock
    with exclusive(RUN_LOCKS / f"{addr}.lock") as lock:
        pipeline = load_pipeline()  # again: another run of the stage may have held the lock for long
        stage = pipeline.stage(addr)
        try:
            return make(stage, pipeline, log or stage.log_dir / "output.log", lock)
        except BaseException:
            remove_outs(stage)
            raise


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="workflow.bridge.run", description="restore or run one stage of dvc.yaml")
    parser.add_argument("addr", help="stage address, such as train@full-1")
    parser.add_argument("--log", type=Path, help="file for the command's output; default logs/STAGE/ADDR/output.log")
    args = parser.parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda received, _: sys.exit(128 + received))
    began, how, key = time.time(), "failed", None
    try:
        how, key = locked_run(args.addr, args.log)
        say(f"{args.addr}: {how}")
    except SupersededError as e:
        how = "superseded"
        say(f"error: {e}")
        sys.exit(SUPERSEDED)
    except UserError as e:
        how = "refused" if isinstance(e, RefusedError) else "failed"
        sys.exit(f"error: {e}")
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(f"error: {args.addr}: the disk is full: free some room and run again; nothing was accepted")
    finally:
        journal.note(args.addr, how, key, time.time() - began)


if __name__ == "__main__":
    main()
