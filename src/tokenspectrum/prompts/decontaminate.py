"""Training problems that are a benchmark's, or one another's, up to how they are typeset.

Two problems are the same here if their normalised texts are.  These do not count: Unicode compatibility forms, upper
and lower case, white space, dollar signs, and LaTeX's spacing, sizes and styles.  Every other sign does.
Knows no files.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tokenspectrum.prompts.golds import contradiction, contradicts
from tokenspectrum.prompts.problem import Problem

_TYPESETTING = re.compile(
    r"\\(?:left|right|displaystyle|textstyle|qquad|quad|[bB]igg?[lrm]?)(?![A-Za-z])|(?<!\\)\\[,;:! ()\[\]]|[\s$~]"
)


def normalised_text(text: str) -> str:
    """`text` without what only typesets it."""
    text = re.sub(r"\\[dt]frac(?![A-Za-z])", r"\\frac", unicodedata.normalize("NFKC", text))
    return _TYPESETTING.sub("", text).casefold()


@dataclass(frozen=True)
class Clean:
    """Problems left, and how many were dropped: as repeats of an earlier one, and as part of a benchmark.

    Each of `contradictions` names a repeat with another gold.  `by_benchmark` counts a problem once in every benchmark
    that has it, `contaminated` counts it once.
    """

    problems: list[Problem]
    duplicates: int
    contaminated: int
    by_benchmark: dict[str, int]
    contradictions: tuple[str, ...] = ()


def clean(
    problems: Sequence[Problem],
    benchmarks: Mapping[str, Sequence[Problem]],
    seen: dict[str, Problem] | None = None,
    alike: Callable[[str], str] = normalised_text,
) -> Clean:
    """`problems` without those in a benchmark and those in `seen`, to which the ones kept are added by their text.

    Two texts are the same if `alike` makes the same of them.
    """
    seen = {} if seen is None else seen
    texts = {name: {alike(p.text) for p in members} for name, members in benchmarks.items()}
    by_benchmark, kept, duplicates, contaminated = dict.fromkeys(texts, 0), [], 0, 0
    contradictions: list[str] = []
    for problem in problems:
        text = alike(problem.text)
        found = [name for name, members in texts.items() if text in members]
        for name in found:
            by_benchmark[name] += 1
        if found:
            contaminated += 1
        elif text not in seen:
            seen[text] = problem
            kept.append(problem)
        elif contradicts(seen[text], problem):
            contradictions.append(contradiction(seen[text], problem))
        else:
            duplicates += 1
    return Clean(kept, duplicates, contaminated, by_benchmark, tuple(contradictions))
