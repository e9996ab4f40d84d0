"""DVC's cache as it lies on disk: objects by their MD5, and the run cache that says which inputs gave which objects.

Reads and writes the same files as DVC 3 without importing it; a test compares them with DVC's own.  Restored files are
hashed again.  An object whose bytes do not match its name is deleted and reported, and never used.  The same holds for
a run record; its name does not cover the sizes of deps and outputs, which decide nothing.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from snakedvc.dvcfiles.digest import Digest, file_md5, files_under, listing_bytes, listing_md5
from snakedvc.dvcfiles.record import Record, fits
from snakedvc.dvcfiles.records import write_atomically
from snakedvc.errors import ProjectError
from snakedvc.yamlfile import Loader

_FICLONE = 0x40049409  # Linux: both files share blocks until one of them is written to


class MissingObjectError(Exception):
    """The cache lacks objects.  The argument is the list of their names."""


class DamagedObjectError(Exception):
    """An object's bytes did not match its name, which is the argument.  In a cache it has been deleted."""


def clone(source: Path, target: Path) -> None:
    """Copy a file, and share blocks where possible.  It is never a link: a write to one must not change the other."""
    with source.open("rb") as src, target.open("wb") as dst, contextlib.suppress(OSError):
        fcntl.ioctl(dst.fileno(), _FICLONE, src.fileno())
        return
    shutil.copyfile(source, target)


class DamagedRecordError(Exception):
    """A run record's content did not match its name."""


def read_record(content: bytes, name: str) -> Record | None:
    """The run record in a file of this name.  None if it is of another params file; DamagedRecordError.

    The bridge writes JSON, which is ten times as fast to read; DVC itself writes YAML.
    """
    try:
        document = json.loads(content)
    except ValueError:
        try:
            document = yaml.load(content, Loader)
        except (yaml.YAMLError, ValueError):
            raise DamagedRecordError from None
    try:
        sound = fits(document, name)
    except TypeError:  # YAML has dates and keys that are no texts
        sound = False
    if not sound:
        raise DamagedRecordError
    return Record.read(document)


def read_listing(content: bytes, md5: str) -> dict[str, str]:
    """The files (relative path -> MD5) that folder object `md5` lists; DamagedObjectError if it is not that object."""
    try:
        files = {row["relpath"]: row["md5"] for row in json.loads(content)}
    except (ValueError, KeyError, TypeError):
        files = {}
    if listing_md5(files) != md5:
        raise DamagedObjectError(md5)
    return files


def ignore(name: str) -> None:
    """Say nothing of a damaged run record."""


class Cache:
    """The cache in folder `root` (DVC's cache.dir).

    A remote that is a folder is read with `mend=False`, so that nothing in it is deleted.
    """

    def __init__(self, root: Path, *, mend: bool = True) -> None:
        self.root = root
        self._mend = mend

    def _drop(self, path: Path) -> None:
        if self._mend:
            with contextlib.suppress(OSError):  # of a cache that cannot be written, nothing is deleted
                path.unlink()

    def object_path(self, md5: str) -> Path:
        """Where the object called `md5` is kept."""
        return self.root / "files" / "md5" / md5[:2] / md5[2:]

    def run_folder(self, key: str) -> Path:
        """Where the run records under `key` are kept."""
        return self.root / "runs" / key[:2] / key

    def records(self, key: str, damaged: Callable[[str], None] = ignore) -> Iterator[Record]:
        """Run records under `key`, the newest first.  Each damaged one is dropped, and `damaged` is told its name."""
        folder = self.run_folder(key)
        files = [p for p in folder.iterdir() if len(p.name) == 64] if folder.is_dir() else []
        for path in sorted(files, key=lambda p: p.stat().st_mtime, reverse=True):
            try:
                if record := read_record(path.read_bytes(), path.name):
                    yield record
            except DamagedRecordError:
                self._drop(path)
                damaged(path.name)

    def all_records(self) -> Iterator[Record]:
        """Every sound run record."""
        for folder in sorted((self.root / "runs").glob("*/*")):
            yield from self.records(folder.name)

    def record_path(self, key: str, name: str) -> Path:
        """Where a run record is kept."""
        return self.run_folder(key) / name

    def has_record(self, record: Record) -> bool:
        """Whether exactly this run record is here."""
        return self.record_path(record.key, record.name).exists()

    def save_record(self, record: Record) -> None:
        """Write a run record, whose objects must be stored already."""
        # JSON is YAML, so DVC can read it.  All text is quoted, so no hash is read as a number.
        write_atomically(self.record_path(record.key, record.name), json.dumps(record.document(), indent=1))

    def listing(self, md5: str) -> dict[str, str]:
        """The files (relative path -> MD5) of folder object `md5`; MissingObjectError or DamagedObjectError."""
        path = self.object_path(md5)
        try:
            return read_listing(path.read_bytes(), md5)
        except FileNotFoundError:
            raise MissingObjectError([md5]) from None
        except DamagedObjectError:
            self._drop(path)
            raise

    def _add(self, temporary: Path, md5: str) -> None:
        target = self.object_path(md5)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.chmod(0o444)  # as DVC does, so that nobody writes to it in place
        os.replace(temporary, target)  # also replaces a damaged object of this name

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        folder = self.root / "files" / "md5"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f".{uuid.uuid4().hex}.tmp"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def check_writable(self) -> None:
        """Refuse a cache that takes no new object: what a stage computes would be lost."""
        try:
            with self._temporary() as temporary:
                temporary.touch()
        except OSError as e:
            if e.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            raise ProjectError(
                f"{self.root}: the cache cannot be written ({e.strerror}), so no stage can be run: make it writable, "
                "or choose another (`dvc cache dir FOLDER`)"
            ) from None

    def take(self, source: Path, md5: str) -> None:
        """Copy object `md5` in from a file elsewhere; DamagedObjectError if it holds other bytes."""
        if self.object_path(md5).exists():
            return
        with self._temporary() as temporary:
            clone(source, temporary)
            if file_md5(temporary) != md5.removesuffix(".dir"):
                raise DamagedObjectError(md5)
            self._add(temporary, md5)

    def _store_file(self, path: Path) -> str:
        with self._temporary() as temporary:
            clone(path, temporary)
            md5 = file_md5(temporary)  # of the copy, so that the name is right even if `path` changes now
            self._add(temporary, md5)
        return md5

    def store(self, path: Path) -> Digest:
        """Put a file or folder into the cache and return its digest.  OSError when the disk is full."""
        if not path.is_dir():
            return Digest(self._store_file(path), path.stat().st_size)
        files = dict(files_under(path))
        hashes = {name: self._store_file(file) for name, file in files.items()}
        with self._temporary() as temporary:
            temporary.write_bytes(listing_bytes(hashes))
            self._add(temporary, listing_md5(hashes))
        return Digest(listing_md5(hashes), sum(p.stat().st_size for p in files.values()), len(files))

    def _inside(self, md5: str) -> list[str]:
        """Names of the objects in folder object `md5`; none if it is missing, damaged or a file."""
        if md5.endswith(".dir"):
            with contextlib.suppress(MissingObjectError, DamagedObjectError):
                return list(self.listing(md5).values())
        return []

    def objects(self, hashes: Iterable[str]) -> set[str]:
        """`hashes`, and the objects named by their listings, as far as the listings are here."""
        return {name for md5 in hashes for name in (md5, *self._inside(md5))}

    def missing(self, hashes: Iterable[str]) -> list[str]:
        """Names of the objects that the cache lacks for a restore of `hashes`.  A damaged listing is lacking too."""
        absent: list[str] = []
        for md5 in hashes:
            try:
                needed = [*self.listing(md5).values(), md5] if md5.endswith(".dir") else [md5]
                absent += [name for name in needed if not self.object_path(name).exists()]
            except (MissingObjectError, DamagedObjectError):
                absent.append(md5)
        return absent

    def _restore_file(self, md5: str, target: Path) -> None:
        source = self.object_path(md5)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            clone(source, target)
        except FileNotFoundError:
            raise MissingObjectError([md5]) from None
        if file_md5(target) != md5:
            self._drop(source)
            raise DamagedObjectError(md5)

    def restore(self, md5: str, target: Path) -> None:
        """Copy an object to `target`, which must not exist.  Raises MissingObjectError or DamagedObjectError."""
        if md5.endswith(".dir"):
            target.mkdir(parents=True, exist_ok=True)
            files = self.listing(md5)
            with ThreadPoolExecutor(max_workers=4) as pool:  # copying and hashing free the interpreter's lock
                list(pool.map(lambda name: self._restore_file(files[name], target / name), files))
        else:
            self._restore_file(md5, target)
