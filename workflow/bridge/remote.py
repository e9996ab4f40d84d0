"""A DVC remote, if the project has one: fetch what a restore lacks, push every recorded variant.

 The only module of the bridge that imports DVC, and only when a remote is configured.  `dvc push --run-cache` sends
all run records but only the current objects, so that older variants could not be restored elsewhere: here the objects
of all records go too.
"""

from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import load_yaml
from workflow.bridge.cache import Cache, MissingObjectError
from workflow.bridge.records import Record


def _hashes(names: set[str]) -> set[HashInfo]:
    return {HashInfo("md5", name) for name in names}


def fetch_records(key: str, cache: Cache) -> None:
    """Copy the remote's run records under `key` into the cache."""
    repo = Repo()
    remote = repo.cloud.get_remote()
    folder = remote.fs.join(remote.path, "runs", key[:2], key)
    if not remote.fs.exists(folder):
        return
    for source in remote.fs.find(folder):
        target = cache.run_folder(key) / remote.fs.name(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            temporary = target.with_name(f".{target.name}.tmp")
            remote.fs.get_file(source, str(temporary))
            temporary.replace(target)


def fetch_objects(entries: list[dict[str, Any]], cache: Cache) -> None:
    """Bring the objects of `entries` into the cache, folders' listings first.  What the remote lacks stays missing."""
    cloud = Repo().cloud
    cloud.pull(_hashes({e["md5"] for e in entries}))
    inside: set[str] = set()
    for entry in entries:
        if entry["md5"].endswith(".dir") and cache.object_path(entry["md5"]).exists():
            inside |= set(cache.listing(entry["md5"]).values())
    if inside:
        cloud.pull(_hashes(inside))


def _all_records(cache: Cache) -> list[Record]:
    return [load_yaml(p) for p in sorted(Path(cache.root, "runs").glob("*/*/*")) if not p.name.startswith(".")]


def push(cache: Cache, extra: list[Record]) -> tuple[int, int]:
    """Send all run records, and the objects of them and of the `extra` ones; how many records, and new objects."""
    records = _all_records(cache)
    repo = Repo()
    if not repo.config["core"].get("remote"):
        raise UserError("no remote: set one with `dvc remote add -d NAME FOLDER_OR_URL`")
    names: set[str] = set()
    for out in (out for record in [*records, *extra] for out in record["outs"]):
        try:
            inside = cache.listing(out["md5"]).values() if out["md5"].endswith(".dir") else ()
        except MissingObjectError:
            continue  # deleted here by `dvc gc`: nothing to send
        names |= {out["md5"], *inside}
    present = {name for name in names if cache.object_path(name).exists()}
    result = repo.cloud.push(_hashes(present))
    if result.failed:
        raise UserError(f"push: {len(result.failed)} objects could not be sent; run `spectrum push` again")
    # Records last: whoever sees a record finds its objects.
    repo.stage_cache.push(None)
    return len(records), len(result.transferred)
