"""Run one stage: bring its outputs back from the cache, or execute it from a frozen copy and store them.

    python -m snakedvc.running train@full-1 --log FILE

Any number of runs may work at once, on any host: a run takes no lock of the repository, never writes dvc.lock, and
writes only content-addressed files or files of its own.

Exit 0: the outputs are there.  1: failed or refused.  3: superseded, because the code or the params changed during the
run.  Then the outputs are cached under the code and params that made them, and Snakemake has to plan again.  75:
stopped by SIGTERM after a checkpoint; a Slurm job puts itself back into the queue.  130: stopped by Ctrl-C.
"""

import argparse
import contextlib
import functools
import itertools
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from snakedvc.code.freeze import code_entries, frozen_copy
from snakedvc.dvcfiles.digest import digest
from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.locks import exclusive, stage_lock, writing
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.record import Record
from snakedvc.dvcfiles.records import save_fragment
from snakedvc.dvcfiles.seen import accept, remember, signatures
from snakedvc.dvcfiles.store import Store, remove, say
from snakedvc.errors import ProjectError, no_room
from snakedvc.running import journal
from snakedvc.running.command import STOPPED, StoppedError, execute
from snakedvc.running.inputs import (
    RefusedError,
    check_inputs,
    check_keyed_code,
    data_entries,
    keep_edits,
    keyed_files,
)
from snakedvc.settings import Systems, load_settings
from snakedvc.site import slurm

CHECKPOINTS = Path(".ckpt")
SUPERSEDED = 3
INTERRUPTED = 128 + signal.SIGINT


class SupersededError(ProjectError):
    """Code or params changed while the stage ran.  Its outputs are cached under the old ones."""


@dataclass(frozen=True)
class Started:
    """A stage that is about to run: its record so far, and its frozen copy."""

    stage: Stage
    pipeline: Pipeline
    wanted: Record
    frozen: Path
    systems: Systems


def superseded_by(stage: Stage, wanted: Record) -> str | None:
    """What has changed in cmd, code or params since the run started; None if nothing has."""
    try:
        pipeline = load_pipeline()
        now = pipeline.record(pipeline.stage(stage.addr), code_entries(pipeline.stage(stage.addr)))
    except ProjectError as e:
        return str(e)
    if (now.cmd, now.params, now.made) != (wanted.cmd, wanted.params, wanted.made):
        return "its command or params changed"
    paths = sorted(now.code.keys() | wanted.code.keys())
    changed = [path for path in paths if now.code.get(path) != wanted.code.get(path)]
    return f"{', '.join(changed)} changed" if changed else None


def run_and_store(run: Started, log: Path, lock: int, store: Store) -> Record:
    """Execute and store.  Returns the record with its outputs; raises if the result is not of the present tree."""
    stage, wanted = run.stage, run.wanted
    checkpoints = CHECKPOINTS / stage.addr / wanted.key[:16]
    remove(stage.outs)
    started = time.time()
    execute(stage, run.frozen, checkpoints, log, lock)
    now = {entry.path: entry.md5 for entry in data_entries(run.pipeline, stage)}
    if changed := [path for path, md5 in wanted.data.items() if md5 != now[path]]:
        raise RefusedError(
            f"{stage.addr}: refused: {', '.join(changed)} changed while it ran; its outputs are discarded: run again"
        )
    found = signatures(stage.outs)  # taken before the outputs are read, so that a later change is seen
    record = wanted.with_outs(store.cache.store(Path(out)).entry(out) for out in stage.outs)
    store.cache.save_record(record)
    remember(stage.addr, record.made, found)
    shutil.rmtree(checkpoints)  # not earlier: until the outputs are safe, a rerun resumes from the checkpoint
    with contextlib.suppress(OSError):  # the folder may hold checkpoints of other params
        checkpoints.parent.rmdir()
    code = {path: digest(run.frozen / path).md5 for path in run.systems.code}
    journal.write_provenance(stage.log_dir, wanted.key, started, systems=run.systems.params, systems_code=code)
    if why := superseded_by(stage, wanted):
        raise SupersededError(
            f"{stage.addr}: superseded: {why} while it ran; "
            "its outputs are cached under what they were made with: run again"
        )
    return record


def make(stage: Stage, pipeline: Pipeline, store: Store, log: Path, lock: int) -> tuple[journal.How, str]:
    """Restore or run `stage`.  Returns which of the two was done, and the run-cache key."""
    systems = load_settings().systems(stage.data, pipeline.params)
    beside = (*systems.code, *keyed_files(stage))
    with frozen_copy(stage, pipeline.values(stage), systems.params, beside) as frozen:
        # Hash the code of the copy, because these bytes will run.
        wanted = pipeline.record(stage, code_entries(stage, frozen) + data_entries(pipeline, stage))
        how: journal.How = "ran"
        for known in itertools.chain(store.here(wanted, stage), store.elsewhere(wanted)):
            if store.restore(known, stage.addr) == "restored":
                how, record = "restored", wanted.with_outs(known.outs)
                remember(stage.addr, record.made, signatures(stage.outs))
                store.save(record)
                break
        else:
            store.cache.check_writable()
            check_inputs(pipeline, stage, store)
            check_keyed_code(pipeline, stage, frozen, store)
            started = Started(stage, pipeline, wanted, frozen, systems)
            record = run_and_store(started, log, lock, store)
    save_fragment(stage.entry, record)
    accept(stage.addr, record.key, record.name, store.cache.record_path(record.key, record.name))
    return how, wanted.key


def locked_run(addr: str, log: Path | None) -> tuple[journal.How, str]:
    """Restore or run the stage at `addr` under its own lock.  After any failure its outputs are removed.

    Outputs that were edited are set aside first.
    """
    load_pipeline().stage(addr)  # first, so that an unknown address makes no lock file
    # A job of a killed driver may still run this stage.  Then queue behind it instead of holding nodes while waiting.
    if (other := slurm.holder(stage_lock(addr))) and slurm.requeue(after=other):
        raise StoppedError(f"{addr}: job {other} is at it: back into the queue until it has ended")
    with exclusive(stage_lock(addr)) as lock:
        slurm.sign(lock)
        pipeline = load_pipeline()  # read again, because another run may have held the lock for a long time
        stage, store = pipeline.stage(addr), Store()
        keep_edits(stage, store)
        with writing(addr, functools.partial(remove, stage.outs)):
            return make(stage, pipeline, store, log or stage.log_dir / "output.log", lock)


def main(argv: list[str] | None = None) -> None:
    """The command line that the module's docstring describes."""
    parser = argparse.ArgumentParser(prog="snakedvc.running", description="restore or run one stage of dvc.yaml")
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
    except KeyboardInterrupt:
        how = "interrupted"
        say(f"{args.addr}: stopped; the same command goes on")
        sys.exit(INTERRUPTED)
    except ProjectError as e:
        how = "refused" if isinstance(e, RefusedError) else "failed"
        sys.exit(f"error: {e}")
    except OSError as e:
        if (why := no_room(e)) is None:
            raise
        sys.exit(f"error: {args.addr}: {why}")
    finally:
        journal.note(args.addr, how, key, time.time() - began)
    if how == "stopped":
        slurm.requeue()
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
