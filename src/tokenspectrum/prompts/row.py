"""One record of a file, which knows where it stands, so that a complaint can say so.  Knows no type of file."""

from dataclasses import dataclass
from typing import Any

from tokenspectrum.errors import UserError


@dataclass(frozen=True)
class Row:
    """One record: `where` names its file and line (or row), `index` counts the file's records from 0."""

    where: str
    index: int
    values: dict[str, Any]

    @property
    def place(self) -> str:
        """`where` without the folder, which differs between machines."""
        return self.where.rpartition("/")[2]

    def error(self, field: str, problem: str) -> UserError:
        """The error that blames `field` of this row."""
        return UserError(f"{self.where}, field {field!r}: {problem}")

    def value(self, name: str | None) -> Any:
        """The value of column `name`, None where it is null or not there.

        A dot in the name goes into a nested column, and a number is a place in a list; a column whose own name has
        that dot comes first.
        """
        if name is None or name in self.values:
            return self.values.get(name)
        value: Any = self.values
        for part in name.split("."):
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                return None
        return value

    def first(self, *names: str) -> str:
        """The first of `names` that the row has a value for, else the first of all."""
        return next((name for name in names if self.value(name) is not None), names[0])

    def has(self, name: str) -> bool:
        """Whether the row has column `name`; null is a value."""
        parent, _, last = name.rpartition(".")
        nested = self.value(parent) if parent else None
        return name in self.values or self.value(name) is not None or (isinstance(nested, dict) and last in nested)

    def missing(self, name: str, what: str = "missing") -> UserError:
        """The error for a column that the row does not have, or has no value in."""
        return self.error(name, f"{what}; the row has {', '.join(sorted(self.values)) or 'no fields'}")

    def text(self, name: str) -> str:
        """Column `name`, which must be text and not blank."""
        value = self.value(name)
        if value is None:
            raise self.missing(name)
        if not isinstance(value, str):
            raise self.error(name, f"expected text, found {type(value).__name__} {value!r:.60}")
        if not value.strip():
            raise self.error(name, "is empty")
        return value.strip()
