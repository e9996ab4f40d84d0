# For a folder that `snakedeploy` made: docs/sharing.md.
#
# There workflow/Snakefile takes this workflow from a Git host, as a module.  Snakemake then brings Snakefiles and nothing
# else.  But the code of a stage is part of its key.  So the files of that revision are put into the folder, once.
# This file runs before tokenspectrum is installed: it knows Python's library and Snakemake alone.
import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from snakemake.utils import min_version

# All that running takes.  Not the root's Snakefile: Snakemake would find it before workflow/Snakefile, which is the user's.
TAKEN = (
    *(".dvc", ".dvcignore", ".gitignore", "LICENSE", "README.md"),
    *("config", "constraints.txt", "constraints-cluster.txt", "dvc.yaml", "local"),
    *(
        "params.yaml",
        "presets",
        "profiles",
        "pyproject.toml",
        "slurm",
        "src",
        "workflow",
    ),
)
# Kept where they are there.
KEPT = (
    ".gitignore",
    "LICENSE",
    "README.md",
    "config",
    "params.yaml",
    "profiles",
    "workflow/Snakefile",
)
PUT = Path("workflow/deployed.json")


def stop(why):
    sys.exit(f"error: {why}")


def git(folder, *words):
    """What `git` prints."""
    done = subprocess.run(["git", "-C", folder, *words], capture_output=True)
    if done.returncode:
        stop(
            f"git {words[0]}: {' '.join(done.stderr.decode(errors='replace').split())}"
        )
    return done.stdout


def source_repository(source):
    """The repository on this disk that has the revision of `source`, its name, and the revision."""
    if hasattr(
        source, "hosted_repo"
    ):  # github(...), gitlab(...): Snakemake keeps a clone
        source.fetch_if_required()
        return (
            source.hosted_repo.repo.git_dir,
            f"{source.host}/{source.repo}",
            source.ref,
        )
    if hasattr(source, "repo_path"):  # git+file:///...@...
        return source.repo_path, source.repo_path, source.ref
    stop(
        f"{source}: no revision of a Git repository, so its files cannot be put here: run Snakemake in a clone, "
        'or name it as `snakefile: github("owner/name", path="workflow/Snakefile", tag="...")`'
    )


def is_kept(path):
    return any(path.is_relative_to(one) for one in KEPT)


def is_in_the_way(path, member, content):
    """Whether something else is at `path`, or above it: a file, or a link that leads elsewhere."""
    if not os.path.lexists(path):
        return any(
            os.path.lexists(folder) and not folder.is_dir() for folder in path.parents
        )
    if member.issym():
        return not path.is_symlink() or os.readlink(path) != member.linkname
    return path.is_symlink() or not path.is_file() or path.read_bytes() != content


def put(path, member, content):
    """Make a file or a link whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    if member.issym():
        temporary.symlink_to(member.linkname)
    else:
        temporary.write_bytes(content)
        temporary.chmod(member.mode & 0o755)
    os.replace(temporary, path)


def put_files(source):
    """Put the files of the revision that `source` is of into the current folder, unless they were."""
    folder, name, ref = source_repository(source)
    commit = git(folder, "rev-parse", f"{ref}^{{commit}}").decode().strip()
    if PUT.exists():
        try:
            has = json.loads(PUT.read_text())
            is_other = has["commit"] != commit
        except (ValueError, KeyError, TypeError):
            stop(
                f"{PUT}: damaged; remove it, and the files are compared and put here again"
            )
        if is_other:
            stop(
                f"workflow/Snakefile asks for {ref} of {name}, commit {commit[:12]}, but this folder holds {has['ref']}, "
                f'commit {has["commit"][:12]}: write commit="{has["commit"]}" there to stay with it, or deploy {ref} '
                "into an empty folder and copy params.yaml to it"
            )
        return
    there = set(git(folder, "ls-tree", "--name-only", commit).decode().splitlines())
    with tarfile.open(
        fileobj=io.BytesIO(
            git(folder, "archive", commit, *(t for t in TAKEN if t in there))
        )
    ) as archive:
        members = {Path(m.name): m for m in archive if not m.isdir()}
        contents = {
            path: archive.extractfile(m).read()
            for path, m in members.items()
            if m.isfile()
        }
    new = {
        path: m
        for path, m in members.items()
        if not (is_kept(path) and os.path.lexists(path))
    }
    for path, member in new.items():
        if is_in_the_way(path, member, contents.get(path)):
            stop(
                f"{path}: in the way of the workflow's own; nothing was written: move it, or deploy into an empty folder"
            )
    for path, member in new.items():
        put(path, member, contents.get(path))
    PUT.write_text(
        json.dumps({"repository": name, "ref": ref, "commit": commit}) + "\n"
    )
    print(
        f"put {len(new)} files of {name} at {ref} here; what was here is kept",
        file=sys.stderr,
    )


def check_environment():
    """That the code that plans is this folder's."""
    install = (
        f"{sys.executable} -m pip install --constraint constraints.txt --editable ."
    )
    importlib.invalidate_caches()
    found = importlib.util.find_spec("tokenspectrum")
    if found is None:
        stop(f"tokenspectrum is not installed in this environment; run `{install}`")
    here, there = (
        Path("src/tokenspectrum").resolve(),
        Path(found.origin).resolve().parent,
    )
    if here != there:
        stop(
            f"this environment has the tokenspectrum of {there}, not this folder's; run `{install}`"
        )


if not workflow.modifier.is_main_snakefile() and workflow.is_main_process:
    min_version("9.27")
    if workflow.modifier.modify_rulename("all") != "all":
        stop(
            "workflow/Snakefile: rules have the names of stages here: write `use rule * from ...` without `as`"
        )
    if config:
        stop(
            f"config/config.yaml or --config sets {next(iter(config))}: nothing reads it here; params.yaml is the configuration"
        )
    try:
        put_files(workflow.current_basedir)
    except OSError as e:
        stop(f"{e.filename}: {e.strerror}")
    check_environment()
