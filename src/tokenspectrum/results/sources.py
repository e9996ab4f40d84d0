"""Where each stage leaves its tables, below artifacts/<preset>/.  Knows folders, not what the columns mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenspectrum.params.replicates import ExtraRun


@dataclass(frozen=True)
class Wanted:
    """What params name: methods, the replicates' seeds, base policies, and further runs."""

    methods: Sequence[str] = ()
    seeds: Sequence[int] = ()
    bases: Sequence[int] = ()
    more: Sequence[ExtraRun] = ()
    probed: Sequence[str] = ()
    """Methods whose gradients are taken apart at steps of training."""


@dataclass(frozen=True)
class Source:
    """An out of a stage that holds tables.

    `folder` is below artifacts/<preset>/, and `leaf` below that: one folder a method and seed, a seed, a base policy,
    a method and base policy, two base policies, or a further run.  The first table is always in it, the others where
    they were asked for.
    `run` is whose rows they are (None: the table has no runs, or several).  Rows of the probe have the number of the
    base policy as seed.

    `once`: all base policies have the same rows, as those of a preset share a tokenizer.  The first one's are read.
    """

    folder: str
    tables: tuple[str, ...]
    leaf: str = ""
    run: str | None = None
    once: bool = False

    def names(self, axis: str) -> bool:
        """Whether its folders are told apart by `axis`: method, probed, seed, base, other, or more (a further run)."""
        return f"{{{axis}}}" in self.leaf

    def places(self, root: Path, wanted: Wanted) -> Iterator["Place"]:
        """Its folders for what is wanted, where `root` is where `folder` lies."""
        if self.names("more"):
            for extra in wanted.more:
                yield Place(root / self.leaf.format(more=extra.run), self.tables, extra.method, extra.seed)
            return
        bases = wanted.bases[:1] if self.once else wanted.bases
        methods = wanted.methods if self.names("method") else wanted.probed if self.names("probed") else [""]
        for method in methods:
            for seed in wanted.seeds if self.names("seed") else [None]:
                for base, other in self._pairs(bases):
                    keys = {"method": method, "probed": method, "seed": seed, "base": base, "other": other}
                    run = None if self.run is None else self.run.format(**keys)
                    rows_of = base if seed is None and run is not None else seed
                    yield Place(root / self.leaf.format(**keys), self.tables, run, rows_of)

    def _pairs(self, bases: Sequence[int]) -> Iterator[tuple[int | None, int | None]]:
        """Each base policy, beside every other one where a folder is of two."""
        for base in bases if self.names("base") else [None]:
            for other in bases if self.names("other") else [None]:
                yield base, other


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
    "vocab": Source("vocab", ("vocab",), "{base}", once=True),
    "rollouts": Source("rollouts", ("responses", "sampled", "prompt_tokens"), "{base}", "base"),
    "tokens": Source("tokens", ("tokens",), "{base}", "base"),
    "attention": Source("attention", ("attention", "attention_rows"), "{base}", "base"),
    "gradients": Source("gradients", ("gradients", "token_gradients", "sparse_gradients"), "{base}", "base"),
    "hot_forks": Source("hot_forks", ("hot_forks",), "{base}", "base"),
    "signals": Source("signals", ("signals",), "{base}", "base"),
    "run_gradients": Source(
        "run_gradients", ("gradients", "token_gradients", "sparse_gradients"), "{probed}-s{seed}", "{probed}"
    ),
    "weights": Source("weights", ("weights",), "{method}-b{base}/table", "base"),
    "metrics": Source("metrics", ("metrics",), _EACH, "{method}"),
    "tokenlog": Source(
        "train", ("runs", "responses", "tokens", "attention", "attention_rows"), f"{_EACH}/tokenlog", "{method}"
    ),
    "rescore": Source("rescore", ("rescored",), _EACH, "{method}"),
    "rescore_base": Source("rescore_base", ("rescored",), "{base}-{other}"),
    "evaluate": Source("evaluate", ("scores",), _EACH, "{method}"),
    "metrics_more": Source("more/metrics", ("metrics",), "{more}"),
    "evaluate_more": Source("more/evaluate", ("scores",), "{more}"),
    "evaluate_base": Source("evaluate_base", ("scores",), "s{seed}", "base"),
    "evaluated_more": Source("more/evaluated", ("evaluated",), "{more}"),
    "evaluated": Source("evaluated", ("evaluated",), _EACH, "{method}"),
    "evaluated_base": Source("evaluated_base", ("evaluated",), "s{seed}", "base"),
}
