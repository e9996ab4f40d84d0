"""What a claim is: its words, what it needs, and the family that it is tested in.  Knows no number and no result."""

from typing import NamedTuple

ANCHOR, FORKING = "ANCHOR", "FORKING"
REVIEW, NOTE = "REVIEW", "NOTE"
SOURCES = {
    ANCHOR: "arXiv 2605.07660",
    FORKING: "arXiv 2506.01939",
    REVIEW: "the referee report on ANCHOR",
    NOTE: "the synthesis note on sparse signals",
}


class Claim(NamedTuple):
    """A claim, written down before any number is read.

    `rule` says what holds, with its threshold.  `methods` must be trained for it, and `results` names the results whose
    CSV it is decided from.  `family` is the module that decides it; p-values are adjusted within it.
    """

    id: str
    source: str
    place: str
    claim: str
    measure: str
    rule: str
    family: str
    methods: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    published: str = ""
