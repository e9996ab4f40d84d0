"""Keep a long job's parts as they are finished, so that a killed job goes on after its last part.

A job has items: prompts to answer, or responses to measure.  A part is some of them, and what was made of them.  It is
one file: a sha256, the items' indices, the bytes.  The folder is the one where training keeps its checkpoints.  It
belongs to one key of the stage and is removed when the stage has ended.  Without such a folder nothing is kept.

Parts of other facts, or of another kind of device, are never used.  A damaged part is named in the log, removed and
made again.  Interruptions change no byte: what is missing is cut into the same parts as before.

Knows files and indices.  Knows nothing of what is in a part.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tokenspectrum.portable.device import device_kind
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.systems.sigterm import exit_at_once
from tokenspectrum.tokenlog.writer import atomic_path, sha256

CHECKPOINT_ENV = "SNAKEDVC_CHECKPOINT_DIR"
T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass
class Place:
    """Where a job keeps its parts (None: nowhere), how many it has written there, and how many items it found there."""

    folder: Path | None = None
    written: int = 0
    kept: int = 0


@dataclass(frozen=True)
class Codec(Generic[T]):
    """How the values of a part, one an item, become bytes and come back."""

    pack: Callable[[list[T]], bytes]
    unpack: Callable[[bytes], list[T]]


@contextlib.contextmanager
def kept_parts() -> Iterator[Place]:
    """The folder of this stage's run.  Where there is one, SIGTERM ends the stage at once, to go on later."""
    given = os.environ.get(CHECKPOINT_ENV)
    place = Place(Path(given) / "parts" if given else None)
    with exit_at_once(lambda: place.written > 0) if given else contextlib.nullcontext():
        yield place


def in_parts(
    place: Place,
    facts: Mapping[str, Any],
    order: Sequence[int],
    size: int,
    make: Callable[[list[int]], list[T]],
    codec: Codec[T],
    report: Callable[[int], None] = lambda done: None,
    count: Callable[[list[int]], None] = lambda items: None,
    processes: int = 1,
) -> list[T]:
    """What `make` makes of items 0, 1, ... : kept values where there are any.

    `order` has every item once.  `size` items are made at once, in that order.  `facts` are all that decides the
    values, as JSON.  `report` is called with the number of items done, and `count` before it with those made now.
    With `processes` above 1, so many forks of this process make parts side by side: a value may not depend on what
    `make` has made before.
    """
    # Another kind of device may round differently: its parts are not mixed with these.
    decided = {"facts": facts, "device": device_kind()}
    folder = place.folder and place.folder / _digest(json.dumps(decided, sort_keys=True).encode())
    values = _read(folder, set(order), codec) if folder else {}
    if values:
        _log.info("%d of %d are kept from an earlier run", len(values), len(order))
        place.kept += len(values)
        report(len(values))
    missing = [item for item in order if item not in values]
    pieces = [missing[first : first + size] for first in range(0, len(missing), size)]
    for items, (made, packed) in zip(pieces, _made(pieces, make, codec, processes), strict=True):
        if folder:
            _write(folder, items, packed or codec.pack(made))
            place.written += 1
        values |= zip(items, made, strict=True)
        count(items)
        report(len(values))
    return [values[item] for item in range(len(order))]


def _made(
    pieces: Sequence[list[int]], make: Callable[[list[int]], list[T]], codec: Codec[T], processes: int
) -> Iterator[tuple[list[T], bytes]]:
    """The values of each piece.  Those of a fork travel as bytes, which come with them."""
    processes = min(processes, len(pieces))
    if processes <= 1:
        yield from ((make(items), b"") for items in pieces)
        return
    _log.info("%d parts are left, scored by %d processes", len(pieces), processes)
    for packed in side_by_side(lambda items: codec.pack(make(items)), pieces, processes):
        yield codec.unpack(packed), packed


def policy_facts(folder: Path) -> dict[str, str]:
    """The files of a policy by their sha256."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}


def _read(folder: Path, wanted: set[int], codec: Codec[T]) -> dict[int, T]:
    found: dict[int, T] = {}
    for path in sorted(folder.glob("part-*")):
        digest, _, content = path.read_bytes().partition(b"\n")
        if digest.decode(errors="replace") != _digest(content):
            _log.warning("%s: damaged (its sha256 is not the one that was written); made again", path)
            path.unlink()
            continue
        items, _, payload = content.partition(b"\n")
        found |= zip(json.loads(items), codec.unpack(payload), strict=True)
    return {item: value for item, value in found.items() if item in wanted}


def _write(folder: Path, items: list[int], payload: bytes) -> None:
    content = json.dumps(items).encode() + b"\n" + payload
    with atomic_path(folder / f"part-{items[0]:09d}") as temporary:
        temporary.write_bytes(_digest(content).encode() + b"\n" + content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
