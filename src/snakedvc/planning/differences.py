"""What differs between the inputs of two records, and of which kind it is.

dvc.yaml may list the same things otherwise: `train`, or `train.steps` and `train.rate`; a file under a new name.  What
both records have is compared all the same, however it is listed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from snakedvc.dvcfiles.record import Record

# value: something that decides a result has another value.  listed: dvc.yaml lists more of these things, or fewer.
Kind = Literal["code", "command", "listed", "value"]
# The keys that lead to a param.
Place = tuple[str, ...]
_ABSENT = "absent"  # how a param is shown that is not there


@dataclass(frozen=True)
class Difference:
    """One thing that differs between two records."""

    kind: Kind
    what: str


def differences(old: Record, new: Record) -> Iterator[Difference]:
    """What differs between the inputs of two records.  An unknown hash of `new` counts as equal."""
    if old.cmd != new.cmd:
        yield Difference("command", "its command in dvc.yaml changed")
    yield from _listed(old.params, new.params, "listed", "param")
    yield from (Difference("value", line) for line in _param_changes(old.params, new.params))
    yield from _listed(old.code, new.code, "code", "dep")
    yield from _listed(old.data, new.data, "listed", "dep")
    for kind, before, now in (("code", old.code, new.code), ("value", old.data, new.data)):
        for path in sorted(before.keys() & now.keys()):
            if now[path] is not None and now[path] != before[path]:
                yield Difference(kind, f"{path} changed")
    yield from (Difference("value", line) for line in _other_content(old.data, new.data))


def _listed(old: Mapping[str, Any], new: Mapping[str, Any], kind: Kind, word: str) -> Iterator[Difference]:
    for name in sorted(old.keys() ^ new.keys()):
        yield Difference(kind, f"{name} is {f'a new {word}' if name in new else f'no longer a {word}'}")


def _leaves(value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    """Every value in a tree of params, with its place.  An empty mapping is a value."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*place, key))
    else:
        yield place, value


def _param_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """`train.steps: 3 -> 4` for every value that differs.

    What lies below no name that the other record lists is left out: its value there is not known.
    """
    before, now = (dict(leaf for name in sorted(p) for leaf in _leaves(p[name], _place(name))) for p in (old, new))
    for place in before | now:
        if place in before and place in now:
            if _as_text(before[place]) != _as_text(now[place]):
                yield f"{'.'.join(map(str, place))}: {before[place]} -> {now[place]}"
        elif any(place[: len(name)] == name for name in map(_place, new if place in before else old)):
            yield f"{'.'.join(map(str, place))}: {before.get(place, _ABSENT)} -> {now.get(place, _ABSENT)}"


def _place(name: str) -> Place:
    return tuple(name.split("."))


def _as_text(value: Any) -> str:
    """The value as a key of the run cache has it: 1, 1.0 and true are three values."""
    return json.dumps(value, sort_keys=True, default=str)


def _other_content(old: Mapping[str, str | None], new: Mapping[str, str | None]) -> Iterator[str]:
    """New deps beside ones that are gone, of a content that none of these has: more was changed than a name."""
    gone = {path: md5 for path, md5 in old.items() if path not in new}
    came = {path: md5 for path, md5 in new.items() if path not in old and md5 is not None}
    left = [path for path, md5 in gone.items() if md5 not in came.values()]
    if left:
        for path, md5 in sorted(came.items()):
            if md5 not in gone.values():
                yield f"{path} has other content than {' and '.join(sorted(left))}"
