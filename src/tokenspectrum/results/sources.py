"""Where each stage leaves its tables, below artifacts/<preset>/.  Knows folders, not what the columns mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """An out of a stage that holds tables.

    `folder` is below artifacts/<preset>/, and `leaf` below that: one folder a method and seed, or a method, or a seed.
    The first table is always in it, the others where they were asked for.  `run` is whose rows they are (None: the
    table has no runs).
    """

    folder: str
    tables: tuple[str, ...]
    leaf: str = ""
    run: str | None = None

    def places(self, root: Path, methods: Sequence[str], seeds: Sequence[int]) -> Iterator["Place"]:
        """Its folders for these methods and seeds, where `root` is where `folder` lies."""
        for method in methods if "{method}" in self.leaf else [""]:
            for seed in seeds if "{seed}" in self.leaf else [None]:
                keys = {"method": method, "seed": seed}
                run = None if self.run is None else self.run.format(**keys)
                yield Place(root / self.leaf.format(**keys), self.tables, run, seed)


@dataclass(frozen=True)
class Place:
    """One folder of a source, and the run and seed that it must hold (None: whatever is there)."""

    folder: Path
    tables: tuple[str, ...]
    run: str | None = None
    seed: int | None = None


_EACH = "{method}-s{seed}"
SOURCES = {
    "prompts": Source("prompts/train", ("prompts",)),
    "benchmarks": Source("prompts/benchmarks", ("prompts",)),
    "vocab": Source("vocab", ("vocab",)),
    "rollouts": Source("rollouts", ("responses", "sampled", "prompt_tokens"), run="base"),
    "tokens": Source("tokens", ("tokens",), run="base"),
    "attention": Source("attention", ("attention", "attention_rows"), run="base"),
    "weights": Source("weights", ("weights",), "{method}/table"),
    "metrics": Source("metrics", ("metrics",), _EACH, "{method}"),
    "tokenlog": Source(
        "train", ("runs", "responses", "tokens", "attention", "attention_rows"), f"{_EACH}/tokenlog", "{method}"
    ),
    "evaluate": Source("evaluate", ("scores",), _EACH, "{method}"),
    "evaluate_base": Source("evaluate_base", ("scores",), "s{seed}", "base"),
}
