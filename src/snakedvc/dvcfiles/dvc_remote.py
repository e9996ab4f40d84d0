"""A DVC remote of any kind, used through DVC.  No other module of the bridge imports DVC, and this one does it late.

`dvc push --run-cache` sends all run records, but only the current objects.  Then older results cannot be restored
elsewhere.  So `push` here sends the objects of all records too.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from snakedvc.dvcfiles.cache import Cache, DamagedRecordError, read_listing, read_record
from snakedvc.dvcfiles.record import Record
from snakedvc.errors import ProjectError, no_room

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo


def _repo() -> "Repo":
    from dvc.exceptions import DvcException  # this import takes a second or two
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


@contextmanager
def _raising() -> Iterator[None]:
    """Raise, at the end of the block, that a disk of this machine takes nothing.  DVC only logs it, of each object."""
    found: list[BaseException] = []

    def look(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] and no_room(record.exc_info[1]):
            found.append(record.exc_info[1])
        return True

    logger = logging.getLogger("dvc_data.hashfile.transfer")
    logger.addFilter(look)
    try:
        yield
    finally:
        logger.removeFilter(look)
    if found:
        raise found[0]


class DvcRemote:
    """The project's default remote."""

    @cached_property
    def _repo(self) -> "Repo":
        return _repo()

    @cached_property
    def _keys(self) -> dict[str, list[str]]:
        """Every run record's path by its key.  One listing costs less than one question for each stage."""
        remote = self._repo.cloud.get_remote()
        folder = remote.fs.join(remote.path, "runs")
        found: dict[str, list[str]] = {}
        for path in remote.fs.find(folder) if remote.fs.exists(folder) else ():
            found.setdefault(path.split("/")[-2], []).append(path)
        return found

    def answers(self) -> bool:
        return self._keys is not None

    def records(self, key: str, damaged: Callable[[str], None]) -> list[Record]:
        fs = self._repo.cloud.get_remote().fs
        records = []
        for path in self._keys.get(key, ()):
            name = path.split("/")[-1]
            with fs.open(path, mode="rb") as f:
                try:
                    records.append(read_record(f.read(), name))
                except DamagedRecordError:
                    damaged(name)
        return list(filter(None, records))

    def listing(self, md5: str) -> dict[str, str]:
        odb = self._repo.cloud.get_remote_odb()
        with odb.fs.open(odb.oid_to_path(md5), mode="rb") as f:
            return read_listing(f.read(), md5)

    def missing(self, hashes: list[str]) -> list[str]:
        odb = self._repo.cloud.get_remote_odb()
        return [md5 for md5 in hashes if not odb.exists(md5)]

    def fetch(self, hashes: list[str], cache: Cache) -> list[str]:
        cloud = self._repo.cloud
        with _raising():
            cloud.pull(_hashes(set(hashes)))
            if inside := cache.objects(hashes) - set(hashes):
                cloud.pull(_hashes(inside))
        return []  # DVC does not look for damage; the restore does


def push(cache: Cache, extra: list[Record]) -> tuple[int, int]:
    """Send all run records, and their objects and those of `extra`.  Returns how many records and new objects."""
    records = list(cache.all_records())
    repo = _repo()
    if not repo.config["core"].get("remote"):
        raise ProjectError("no remote: set one with `dvc remote add -d NAME FOLDER_OR_URL`")
    names = cache.objects(md5 for record in [*records, *extra] for md5 in record.made.values())
    # Objects that `dvc gc` deleted here cannot be sent.
    present = {name for name in names if cache.object_path(name).exists()}
    try:
        result = repo.cloud.push(_hashes(present))
        if result.failed:
            raise ProjectError(f"push: {len(result.failed)} objects could not be sent; push again")
        # Send the records last, so that everyone who sees a record finds its objects.
        repo.stage_cache.push(None)
    except ProjectError:
        raise
    except Exception as e:  # each kind of remote has errors of its own
        said = " ".join(str(e).split()) or type(e).__name__
        raise ProjectError(f"push: the remote {repo.config['core']['remote']} did not take it: {said}") from None
    return len(records), len(result.transferred)
