"""A DVC remote of any kind, through DVC: the only module of the bridge that imports it, and only when it is asked.

 `dvc push --run-cache` sends all run records but only the current objects, so that older variants could not be restored
elsewhere: here the objects of all records go too.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakedvc.dvcfiles.cache import Cache
from snakedvc.dvcfiles.records import Record
from snakedvc.errors import ProjectError
from snakedvc.yamlfile import Loader, load_yaml

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo


def _repo() -> "Repo":
    from dvc.exceptions import DvcException  # a second or two
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        return Repo()
    except (DvcException, SCMError) as e:
        said = " ".join(str(e).split())
        raise ProjectError(f"DVC cannot open this project: {said}; run `git init` or `dvc init --no-scm`") from None


def _hashes(names: set[str]) -> set["HashInfo"]:
    from dvc_data.hashfile.hash_info import HashInfo

    return {HashInfo("md5", name) for name in names}


class DvcRemote:
    """The project's default remote."""

    @cached_property
    def _repo(self) -> "Repo":
        return _repo()

    @cached_property
    def _keys(self) -> dict[str, list[str]]:
        """Every run record's path by its key: one listing costs less than a question a stage."""
        remote = self._repo.cloud.get_remote()
        folder = remote.fs.join(remote.path, "runs")
        found: dict[str, list[str]] = {}
        for path in remote.fs.find(folder) if remote.fs.exists(folder) else ():
            found.setdefault(path.split("/")[-2], []).append(path)
        return found

    def records(self, key: str) -> list[Record]:
        fs = self._repo.cloud.get_remote().fs
        records = []
        for path in self._keys.get(key, ()):
            with fs.open(path, mode="rb") as f:
                records.append(json_or_yaml(f.read()))
        return [r for r in records if "outs" in r]

    def listing(self, md5: str) -> dict[str, str]:
        odb = self._repo.cloud.get_remote_odb()
        with odb.fs.open(odb.oid_to_path(md5), mode="rb") as f:
            return {row["relpath"]: row["md5"] for row in json.loads(f.read())}

    def missing(self, entries: list[dict[str, Any]]) -> list[str]:
        odb = self._repo.cloud.get_remote_odb()
        return [e["md5"] for e in entries if not odb.exists(e["md5"])]

    def fetch(self, entries: list[dict[str, Any]], cache: Cache) -> list[str]:
        cloud = self._repo.cloud
        cloud.pull(_hashes({e["md5"] for e in entries}))
        inside = cache.objects(entries) - {e["md5"] for e in entries}
        if inside:
            cloud.pull(_hashes(inside))
        return []  # DVC does not look; the restore does


def json_or_yaml(content: bytes) -> Record:
    """A run record: the bridge writes JSON, DVC itself YAML."""
    try:
        return json.loads(content)
    except ValueError:
        import yaml

        return yaml.load(content, Loader) or {}


def _all_records(cache: Cache) -> list[Record]:
    return [load_yaml(p) for p in sorted(Path(cache.root, "runs").glob("*/*/*")) if not p.name.startswith(".")]


def push(cache: Cache, extra: list[Record]) -> tuple[int, int]:
    """Send all run records, and the objects of them and of the `extra` ones; how many records, and new objects."""
    records = _all_records(cache)
    repo = _repo()
    if not repo.config["core"].get("remote"):
        raise ProjectError("no remote: set one with `dvc remote add -d NAME FOLDER_OR_URL`")
    names = cache.objects([out for record in [*records, *extra] for out in record["outs"]])
    # Deleted here by `dvc gc`: nothing to send.
    present = {name for name in names if cache.object_path(name).exists()}
    result = repo.cloud.push(_hashes(present))
    if result.failed:
        raise ProjectError(f"push: {len(result.failed)} objects could not be sent; run `spectrum push` again")
    # Records last: whoever sees a record finds its objects.
    repo.stage_cache.push(None)
    return len(records), len(result.transferred)
