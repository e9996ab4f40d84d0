"""A text field whose values are names that are known when the program starts, such as those of folders."""

from collections.abc import Iterable
from typing import Any

from pydantic_core import CoreSchema, core_schema


class OneOf:
    """`Annotated[str, OneOf(names)]`: as `Literal[...]` of these names, for names that no file lists."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.literal_schema(list(self.names))
