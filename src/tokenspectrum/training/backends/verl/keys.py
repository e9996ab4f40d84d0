"""Find the dotted keys of a verl configuration, and check that given keys are among them.

Knows OmegaConf, and the classes that a configuration names as its targets.  Knows no key.
"""

import difflib
import pkgutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from tokenspectrum.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

_NEAREST = 3


def check_keys(config: "DictConfig", values: Mapping[str, Any], unused: Collection[str]) -> None:
    """Check that every key of `values` exists in `config` with a value of its kind.  A UserError names a wrong key.

    `unused`: sections whose keys are never suggested instead.
    """
    from omegaconf import OmegaConf

    tree = OmegaConf.to_container(config)
    if not isinstance(tree, dict):
        raise TypeError("verl's configuration is not a mapping")
    for key, value in values.items():
        known, default = _look_up(tree, key)
        if not known:
            useful = [k for k in all_keys(tree) if not any(k.startswith(f"{part}.") for part in unused)]
            near = ", ".join(nearest(key, useful))
            raise UserError(f"train.verl_overrides: verl has no key {key}; the nearest are {near}")
        if not _fits(default, value):
            what = "a section; name a key in it" if isinstance(default, dict) else f"{default!r} in verl's defaults"
            raise UserError(f"train.verl_overrides: {key} cannot be {value!r}: it is {what}")


def all_keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of all leaves of nested mappings."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from all_keys(value, f"{prefix}{key}.")
        elif key != "_target_":
            yield f"{prefix}{key}"


def nearest(key: str, known: list[str]) -> list[str]:
    """The known keys that are most similar to `key`, as a whole or in the last word."""
    last = key.rsplit(".", 1)[-1]
    by_last = [k for k in known if k.rsplit(".", 1)[-1] == last]
    found = difflib.get_close_matches(key, by_last, _NEAREST, 0.0) or difflib.get_close_matches(key, known, _NEAREST)
    return found or difflib.get_close_matches(key, known, _NEAREST, 0.0)


def _look_up(tree: Mapping[Any, Any], key: str) -> tuple[bool, Any]:
    """Whether `tree` has `key`, and its default; None where the default is open or unknown."""
    node: Any = tree
    words = key.split(".")
    for i, word in enumerate(words):
        if not isinstance(node, dict):
            return False, None
        if word in node:
            node = node[word]
        elif not node:
            return True, None  # an empty mapping, such as engine_kwargs.vllm, takes anything
        else:
            return (True, None) if word in _fields(node.get("_target_")) and i >= len(words) - 2 else (False, None)
    return True, node


def _fields(target: str | None) -> set[str]:
    """Fields of the dataclass that verl makes of a section.  Some have defaults that the files do not list."""
    if target is None:
        return set()
    cls = pkgutil.resolve_name(target)
    return {field.name for field in fields(cls)} if is_dataclass(cls) else set()


def _fits(default: Any, value: Any) -> bool:
    """Whether `value` may stand where `default` stands; an interpolation, ??? or null says nothing of its kind."""
    if default is None or value is None or (isinstance(default, str) and default.startswith(("${", "???"))):
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, int | float):
        # verl writes some defaults of real numbers as whole numbers, such as top_p: 1.
        return isinstance(value, int | float)
    return isinstance(value, type(default))
