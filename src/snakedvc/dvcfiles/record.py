"""What a stage read and what it made, as one frozen record, with its form in dvc.lock and in DVC's run cache.

A record comes from Pipeline.record before a run, or from a file.  Knows no file by name.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

CODE_ROOT = "src/"
PARAMS_NAME = "params.yaml"
_SIZES = {"size", "nfiles"}
_OWN = {"path", "md5", *_SIZES}


@dataclass(frozen=True)
class Entry:
    """What DVC records of a dep or an output.

    `md5` ends in .dir for a folder, and is None for an output that is not made yet.  `size` (bytes) and `nfiles` are in
    no key.  `others` are DVC's further fields.
    """

    path: str
    md5: str | None = None
    size: int | None = None
    nfiles: int | None = None
    others: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({"hash": "md5"}))

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Entry":
        """The entry of a file's content; KeyError or TypeError if it is none."""
        others = {k: v for k, v in document.items() if k not in _OWN}
        return cls(document["path"], document.get("md5"), document.get("size"), document.get("nfiles"), others)

    @cached_property
    def hashed(self) -> Mapping[str, Any]:
        """The part of the entry that is in a key."""
        return {"path": self.path, **self.others, **({} if self.md5 is None else {"md5": self.md5})}

    def document(self) -> dict[str, Any]:
        """The entry as DVC writes it."""
        sizes = {"size": self.size, "nfiles": self.nfiles}
        return {**self.hashed} | {name: n for name, n in sizes.items() if n is not None}


@dataclass(frozen=True)
class Record:
    """A stage's command, deps and params, all of which decide its result, and its outputs.

    Deps and outputs are sorted by path.  Before the stage has run its outputs have no hash.
    """

    cmd: str
    deps: tuple[Entry, ...]
    params: Mapping[str, Any]
    outs: tuple[Entry, ...]

    @classmethod
    def read(cls, document: Any) -> "Record | None":
        """The record of a file's content; None if it is none, or if it is of another params file."""
        try:
            params = document.get("params", {})
            if set(params) - {PARAMS_NAME}:
                return None
            deps = tuple(map(Entry.read, document.get("deps") or ()))
            return cls(document["cmd"], deps, params.get(PARAMS_NAME, {}), tuple(map(Entry.read, document["outs"])))
        except (AttributeError, KeyError, TypeError):
            return None

    @property
    def code(self) -> dict[str, str | None]:
        """The hash of each code dep."""
        return {d.path: d.md5 for d in self.deps if d.path.startswith(CODE_ROOT)}

    @property
    def data(self) -> dict[str, str | None]:
        """The hash of each other dep."""
        return {d.path: d.md5 for d in self.deps if not d.path.startswith(CODE_ROOT)}

    @property
    def made(self) -> dict[str, str | None]:
        """The hash of each output."""
        return {o.path: o.md5 for o in self.outs}

    @cached_property
    def inputs(self) -> tuple[Any, ...]:
        """All that decides the result, for comparison with another record."""
        return self.cmd, self.code, self.data, self.params

    def with_outs(self, outs: Iterable[Entry]) -> "Record":
        """The same inputs with these outputs."""
        return replace(self, outs=tuple(sorted(outs, key=lambda o: o.path)))

    @cached_property
    def key(self) -> str:
        """The run-cache key: the hash of the inputs and of the outputs' paths.

        It is DVC's too, unless a param is called `size` or `nfiles` (`keys`).
        """
        return _sha256(self._inputs_document())

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys under which results of these inputs may lie: the bridge's, and DVC's if it is another one.

        DVC leaves out of its key what is called `size` or `nfiles`, also a param, which may decide a result.  So
        results of other params may lie under that key, and the bridge writes nothing there.
        """
        if _without_sizes(self.params) == self.params:
            return (self.key,)
        return self.key, _sha256(_without_sizes(self._inputs_document()))

    def _inputs_document(self) -> dict[str, Any]:
        return self._document([e.hashed for e in self.deps], sorted(o.path for o in self.outs))

    @cached_property
    def name(self) -> str:
        """The record's name in the run cache: the hash of the record without the sizes of its deps and outputs."""
        return _sha256(self._document([e.hashed for e in self.deps], [o.hashed for o in self.outs]))

    def document(self) -> dict[str, Any]:
        """The record as DVC writes it."""
        return self._document([e.document() for e in self.deps], [o.document() for o in self.outs])

    def _document(self, deps: list[Any], outs: list[Any]) -> dict[str, Any]:
        params = {"params": {PARAMS_NAME: dict(self.params)}} if self.params else {}
        return {"cmd": self.cmd, "deps": deps, **params, "outs": outs}


def fits(document: Any, name: str) -> bool:
    """Whether a file of the run cache with this content may have this name: the bridge's (`Record.name`), or DVC's.

    They differ where a param is called `size` or `nfiles`: DVC leaves it out.
    """
    entries = {"deps", "outs"}
    if isinstance(document, Mapping):
        own = {part: _without_own_sizes(value) if part in entries else value for part, value in document.items()}
        if _sha256(own) == name:
            return True
    return _sha256(_without_sizes(document)) == name


def _without_own_sizes(entries: Any) -> Any:
    """The entries of deps or outputs as `Entry.hashed` has them."""
    if not isinstance(entries, list):
        return entries
    return [{k: v for k, v in e.items() if k not in _SIZES} if isinstance(e, Mapping) else e for e in entries]


def _without_sizes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_sizes(one) for name, one in value.items() if name not in _SIZES}
    return [_without_sizes(one) for one in value] if isinstance(value, list) else value


def _sha256(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
