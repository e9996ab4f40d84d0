"""How a result is declared: one `RESULT` in the `__init__.py` of its folder, from which all else follows.

A declaration is read whenever anything is planned, so a folder's `__init__.py` imports nothing heavy: its functions are
in `result.py`, its SQL in .sql files.  Knows no result, reads no params and no file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel

from tokenspectrum.results.sources import SOURCES

Value = str | int | float | None


class Column(NamedTuple):
    """A column of the CSV: its name, the type of its values (each may be missing) and what they are.

    A name in angle brackets stands for as many columns as the data have: `<benchmark>`.
    """

    name: str
    kind: type
    about: str


# What every CSV says of itself, behind its own columns.
NAMED = (
    Column("preset", str, "the preset that was run"),
    Column("policy", str, "its base policy: tiny, a folder's name, or a hub id"),
)


@dataclass(frozen=True)
class Answer:
    """What a result came to: the rows of its CSV, and what its page says beside them, if it has a page."""

    rows: list[dict[str, Value]]
    facts: Any = None


def nothing(params: Any) -> Iterator[str]:
    """The check that finds nothing."""
    yield from ()


def _no_source(name: str) -> str:
    """What is wrong with a name in `reads`."""
    of = [source for source, there in SOURCES.items() if name in there.tables]
    return f"{name} is a table of {' and '.join(of)}" if of else f"{name} is none"


@dataclass(frozen=True)
class Result:
    """One table or figure.

    Its folder's name is its own: in `results/<name>.csv`, in the params section `analysis.<name>`, in dvc.yaml.
    """

    package: str
    """`__name__` of the folder's `__init__.py`."""
    title: str
    """What it is called, in a few words."""
    question: str
    """What it answers, in a sentence."""
    reads: tuple[str, ...]
    """Names of SOURCES whose tables it reads."""
    columns: tuple[Column, ...]
    """Of the CSV, in order."""
    params: type[BaseModel] | None = None
    """Its own options, each with a default: the section `analysis.<name>` of params.

    With an option `methods` it reads the runs of those methods and of no other.
    """
    others: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    """Further params that it reads, by dotted name, each with the model that it is read as."""
    folder: str | None = None
    """Its option that names a folder of files which the user puts there: in its key, and `tables.folder`."""
    query: str | None = None
    """Its SQL file, where the rows of that are the whole answer; else `compute` in result.py makes it."""
    asks: tuple[str, ...] = ()
    """Names of other results whose CSV it reads, of those that the params have what it takes for."""
    rules: tuple[str, ...] = ()
    """Names of methods whose resolved rule it reads, of those that are trained."""
    metrics: tuple[str, ...] = ()
    """Columns that `dvc metrics` shows, in a JSON beside the CSV, by the value of the first column."""
    figure: bool = False
    """Whether result.py has `draw`, and so a PNG is drawn from the CSV's rows."""
    page: bool = False
    """Whether result.py has `page`, and so there is a Markdown page."""
    methods: tuple[str, ...] = ()
    """Methods that it cannot be made without."""
    replicates: int = 1
    """The fewest replicates that it can be made of."""
    lacks: Callable[[Any], Iterator[str]] = nothing
    """What else it needs of the whole params and they do not have, a line each: then it is not made."""
    disagrees: Callable[[Any], Iterator[str]] = nothing
    """What its own options and the rest of the whole params disagree about, as `field: what`: a mistake in params."""
    resources: Mapping[str, int] = field(default_factory=lambda: {"mem_mb": 2000, "runtime": 30})
    """What its job takes: megabytes and minutes."""
    local: bool = True
    """Whether it runs where Snakemake runs; False for minutes of work or gigabytes of memory."""
    listing: Callable[[], str] | None = None
    """What its page of docs shows beside, as Markdown."""
    overturned: str = ""
    """What finding would change one's mind about it."""

    def __post_init__(self) -> None:
        if unknown := set(self.reads) - set(SOURCES):
            raise ValueError(f"reads: {', '.join(map(_no_source, sorted(unknown)))}; there are {', '.join(SOURCES)}")
        if self.query and (self.figure or self.page):
            raise ValueError("a figure or a page is drawn by result.py: leave `query` out")

    @property
    def written(self) -> tuple[Column, ...]:
        """The columns of the CSV: its own, and those that every result has."""
        own = {column.name for column in self.columns}
        return (*self.columns, *(column for column in NAMED if column.name not in own))

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.package.rpartition(".")[2]

    @property
    def section(self) -> str:
        """The params section of its own options."""
        return f"analysis.{self.name}"

    @property
    def module(self) -> str:
        """The module that holds its code: result.py, or the folder itself where a query says it all."""
        return self.package if self.query else f"{self.package}.result"

    @property
    def outs(self) -> dict[str, str]:
        """Kind -> path of every file that it makes."""
        kinds = ["csv", *["json"] * bool(self.metrics), *["png"] * self.figure, *["md"] * self.page]
        return {kind: f"results/{self.name}.{kind}" for kind in kinds}

    @property
    def own_methods(self) -> bool:
        """Whether its own options say which methods it reads."""
        return self.params is not None and "methods" in self.params.model_fields

    @property
    def models(self) -> dict[str, type[BaseModel]]:
        """Every params section that it reads, sorted by dotted name, with its model."""
        from tokenspectrum.params.policy import PolicyParams
        from tokenspectrum.params.replicates import ExtraRuns, Replicates
        from tokenspectrum.params.values import Name, Names, Numbers

        own = {self.section: self.params} if self.params else {}
        sources = [SOURCES[name] for name in self.reads]
        lists: dict[str, tuple[str, Any]] = {
            "methods": ("method", Names),
            "replicates": ("seed", Replicates),
            "bases": ("base", Numbers),
            "extra_runs": ("more", ExtraRuns),
            "run_gradients.methods": ("probed", Names),
        }
        if self.own_methods:
            del lists["methods"]
        listed = {name: model for name, (axis, model) in lists.items() if any(s.names(axis) for s in sources)}
        every = {"preset": Name, "policy": PolicyParams}
        return dict(sorted((own | listed | every | dict(self.others)).items()))
