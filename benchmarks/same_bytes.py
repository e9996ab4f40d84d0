"""Which outputs of a preset differ between two checkouts?  The proof of a refactor: every output keeps its bytes.

    python benchmarks/same_bytes.py BEFORE AFTER [--preset tiny] [--run] [TARGET ...]

BEFORE and AFTER are folders of this repository at two revisions, with their outputs in place.  With `--run` each first
chooses the preset and runs Snakemake on the targets (default: all results).  DVC itself says what the outputs of each
are, from that checkout's own dvc.yaml and params.yaml: the two may keep their code in different places.

Prints a line for each output that differs: path, MD5 before, MD5 after; of a folder also the files that differ.
Exit code 0: all are equal (AFTER may have new ones, which are listed).  1: one differs or is gone.  2: nothing could be
compared.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml
from dvc.repo import Repo

NONE = "-"


@dataclass(frozen=True)
class Out:
    """One output: the MD5 of each of its files by relative path, "" for an output that is a file."""

    files: dict[str, str]

    @property
    def md5(self) -> str:
        """One hash of the whole: the file's, or of the list of the files' names and hashes."""
        if set(self.files) == {""}:
            return self.files[""]
        rows = "".join(f"{md5} {name}\n" for name, md5 in sorted(self.files.items()))
        return hashlib.md5(rows.encode(), usedforsecurity=False).hexdigest()


def file_md5(path: Path) -> str:
    """MD5 of a file's bytes, as hex."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "md5").hexdigest()


def read_outs(root: Path) -> dict[str, Out]:
    """The outputs that dvc.yaml declares and that are there, by path, without the files that .dvcignore names."""
    outs = {}
    # DVC keeps notes on a folder outside of it: these are thrown away.
    with (
        tempfile.TemporaryDirectory(prefix="same-bytes-") as notes,
        Repo(str(root), config={"core": {"no_scm": True, "analytics": False, "site_cache_dir": notes}}) as repo,
    ):
        for path in sorted(Path(out.fs_path) for out in repo.index.outs):
            if path.exists():
                found = [Path(f) for f in repo.dvcignore.find(repo.fs, str(path))] if path.is_dir() else [path]
                name = path.relative_to(root).as_posix()
                outs[name] = Out({f.relative_to(path).as_posix() if f != path else "": file_md5(f) for f in found})
    return outs


def differences(before: dict[str, Out], after: dict[str, Out]) -> list[tuple[str, str, str]]:
    """(path, MD5 before, MD5 after) of outputs that differ, are gone or are new, and of the files in them that do."""
    rows = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        rows.append((path, old.md5 if old else NONE, new.md5 if new else NONE))
        if old and new:
            names = sorted(old.files.keys() | new.files.keys())
            inside = [(f"  {path}/{n}", old.files.get(n, NONE), new.files.get(n, NONE)) for n in names if n]
            rows += [row for row in inside if row[1] != row[2]]
    return rows


def run(root: Path, preset: str, targets: list[str]) -> None:
    """Choose the preset and make the targets with the checkout's own code; a failure ends the comparison."""
    # A checkout's own environment goes first, then the one that this script runs in.
    path = os.pathsep.join([f"{root}/.venv/bin", str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "PYTHONPATH": str(root / "src")}
    for command in (["spectrum", "preset", preset, "--force"], ["snakemake", "--profile", "local", *targets]):
        program = shutil.which(command[0], path=path) or command[0]
        if subprocess.run([program, *command[1:]], cwd=root, env=env, stdout=sys.stderr).returncode:
            fail(f"{root}: {' '.join(command)} failed")


def check(root: Path, preset: str) -> None:
    """End with one line unless `root` is a checkout whose params.yaml is of the preset."""
    params = root / "params.yaml"
    if not params.is_file() or not (root / ".dvc").is_dir():
        fail(f"{root}: no checkout of this repository: params.yaml or .dvc is missing")
    chosen = yaml.safe_load(params.read_text()).get("preset")
    if chosen != preset:
        fail(f"{params}: of preset {chosen}, not {preset}; add --run, or give --preset {chosen}")


def fail(why: str) -> NoReturn:
    """One line to stderr, exit code 2."""
    print(f"error: {why}", file=sys.stderr)
    sys.exit(2)


def main(argv: list[str] | None = None) -> int:
    """The command line above; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="checkout before the change")
    parser.add_argument("after", type=Path, help="checkout after it")
    parser.add_argument("targets", nargs="*", help="with --run: what Snakemake makes; default all results")
    parser.add_argument("--preset", default="tiny", help="the preset whose outputs are compared; default tiny")
    parser.add_argument("--run", action="store_true", help="choose the preset and run both checkouts first")
    args = parser.parse_intermixed_args(argv)
    found = []
    for root in (args.before.resolve(), args.after.resolve()):
        if args.run:
            run(root, args.preset, args.targets)
        check(root, args.preset)
        found.append(read_outs(root))
    before, after = found
    if not before.keys() & after.keys():
        fail("no output is in both checkouts: run them first, or add --run")
    rows = differences(before, after)
    for row in rows:
        print("{}\t{}\t{}".format(*row))
    differing = [row for row in rows if not row[0].startswith(" ") and row[1] != NONE]
    print(f"{len(before.keys() & after.keys())} outputs of preset {args.preset} compared, {len(differing)} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
