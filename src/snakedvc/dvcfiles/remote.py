"""What a restore needs from a DVC remote: its run records and its objects.

A remote that is a folder has the cache's layout and is read here.  So DVC is not imported, which would take longer than
most restores.  All other kinds are read through DVC (dvc_remote.py).  A remote is never trusted: what it gives is
hashed before use.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from snakedvc.dvcfiles.cache import Cache, DamagedObjectError
from snakedvc.dvcfiles.config import DvcConfig
from snakedvc.dvcfiles.record import Record


class Remote(Protocol):
    """A place to which others push results."""

    def answers(self) -> bool:
        """Whether it can be reached; or an error of its own library's."""

    def records(self, key: str, damaged: Callable[[str], None]) -> list[Record]:
        """Its run records under `key`.  `damaged` is told the name of each damaged one."""

    def listing(self, md5: str) -> dict[str, str]:
        """The files (relative path -> MD5) of folder object `md5`."""

    def fetch(self, hashes: list[str], cache: Cache) -> list[str]:
        """Copy `hashes`, and the content of folders among them, into `cache`.  Returns the names of damaged objects."""

    def missing(self, hashes: list[str]) -> list[str]:
        """Names of the objects of `hashes` that it lacks, as far as it can be known without fetching."""


class FolderRemote:
    """A remote in a folder that this machine sees."""

    def __init__(self, folder: Path) -> None:
        self._store = Cache(folder, mend=False)

    def answers(self) -> bool:
        return True

    def records(self, key: str, damaged: Callable[[str], None]) -> list[Record]:
        return list(self._store.records(key, damaged))

    def listing(self, md5: str) -> dict[str, str]:
        return self._store.listing(md5)

    def missing(self, hashes: list[str]) -> list[str]:
        return self._store.missing(hashes)

    def fetch(self, hashes: list[str], cache: Cache) -> list[str]:
        damaged: list[str] = []
        for md5 in hashes:
            names = [md5]
            while names:
                name = names.pop()
                try:
                    cache.take(self._store.object_path(name), name)
                    if name.endswith(".dir"):
                        names += cache.listing(name).values()
                except FileNotFoundError:
                    continue
                except DamagedObjectError:
                    damaged.append(name)
        return damaged


def open_remote(config: DvcConfig) -> Remote | None:
    """The project's default remote; None if it has none."""
    if config.remote_folder:
        return FolderRemote(config.remote_folder)
    if config.remote:
        from snakedvc.dvcfiles.dvc_remote import DvcRemote

        return DvcRemote()
    return None
