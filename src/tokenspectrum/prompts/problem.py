"""What every source of problems yields.  Knows no source, no chat and no file format."""

import hashlib
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One problem with its gold answer.

    `extra` holds further facts about it, such as its level; `where` names its file and row, for messages alone.
    """

    data_source: str
    text: str
    answer: str
    extra: dict[str, Any] = field(default_factory=dict)
    where: str = field(default="", compare=False)

    @property
    def prompt_id(self) -> str:
        """16 hex digits: blake2b-64 of the source and the text."""
        return hashlib.blake2b(f"{self.data_source}\x1f{self.text}".encode(), digest_size=8).hexdigest()
