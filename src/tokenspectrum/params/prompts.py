"""Params of the prompts stage: where training problems and benchmarks come from, and which of them are taken."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints, field_validator, model_validator

from tokenspectrum.params.base import LEFT_OUT, Frozen
from tokenspectrum.params.gym import refusal

Format = Literal[
    "aime24",
    "aime_1983_2023",
    "dapo_math",
    "gsm8k",
    "math",
    "math500",
    "math_train",
    "minerva_math",
    "olympiadbench",
    "simple",
    "verl",
]
StandIn = Literal["math", "minerva_math", "olympiadbench", "aime24"]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Revision = Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")]
Column = Annotated[str, StringConstraints(min_length=1)]
# How the gold answer stands in its column: as the whole text, in the last \boxed{}, or behind the last ####.
GoldForm = Literal["whole", "boxed", "hashes"]


class Columns(Frozen):
    """The names of a file's columns.

    A dot goes into a nested column, and a number is a place in a list: reward_model.ground_truth, messages.0.content.
    """

    problem: Column = Field("problem", description="The problem: text, or a chat (a list of role and content)")
    answer: Column = Field("answer", description="The gold answer: text or a number")
    gold: GoldForm = Field(
        "whole", description="Where in `answer` the gold is: whole, boxed (the last \\boxed{}), hashes (behind ####)"
    )
    level: Column | None = Field(None, description="The difficulty, for `levels`; null: the file has none")
    id: Column | None = Field(None, description="The problem's own id, kept as a fact; null: the file has none")
    data_source: Column | None = Field(None, description="Where a problem is from; null: the dataset's name for all")


class SyntheticSource(Frozen):
    """Synthetic training problems, written here."""

    kind: Literal["synthetic"]
    n: int = Field(..., ge=1, le=10_000_000, description="How many problems")
    seed: int = Field(..., ge=0, description="Seed of the problems")
    k_min: int = Field(..., ge=1, description="Fewest steps of a problem")
    k_max: int = Field(..., ge=1, description="Most steps of a problem")

    @model_validator(mode="after")
    def _ordered(self) -> "SyntheticSource":
        if self.k_min > self.k_max:
            raise ValueError(f"k_min {self.k_min} is above k_max {self.k_max}")
        return self


class StandInSource(Frozen):
    """Synthetic problems that stand in for a real benchmark; never the benchmark itself."""

    kind: Literal["stand_in"]
    benchmark: StandIn = Field(..., description="The real benchmark whose place they take")
    n: int = Field(..., ge=1, le=10_000_000, description="How many problems")
    seed: int = Field(..., ge=0, description="Seed of the problems")


class _Described(Frozen):
    """What a file's columns mean: a published format, or columns named one by one."""

    format: Format = Field("simple", description="Whose columns the file has; simple is for a file of your own")
    columns: Annotated[Columns | None, LEFT_OUT] = Field(
        None, description="The names of the columns of a file in format simple"
    )

    @model_validator(mode="after")
    def _named_once(self) -> "_Described":
        if self.columns is not None and self.format != "simple":
            raise ValueError(f"columns are for format simple; {self.format} has its own")
        return self


class FileSource(_Described):
    """A file on this machine: a dependency of the stage by its content, wherever it lies."""

    kind: Literal["file"]
    path: str = Field(..., description="The file: .jsonl, .json, .csv or .parquet; relative to prompts.folder")
    sha256: Annotated[Sha256 | None, LEFT_OUT] = Field(
        None, description="Its checksum: another file in its place is refused"
    )


class HubSource(_Described):
    """A file of a dataset repository on the Hugging Face hub, at one revision."""

    kind: Literal["hub"]
    repo: str = Field(..., description="Dataset repository, owner/name")
    path: str = Field(..., description="The file inside the repository")
    revision: Revision | None = Field(..., description="Full commit hash; null is refused when the stage runs")
    sha256: Sha256 | None = Field(..., description="The file's checksum; null is refused when the stage runs")


class GymSource(Frozen):
    """Tasks of one of reasoning-gym's generators.  Its own scorer judges the answers."""

    kind: Literal["reasoning_gym"]
    dataset: str = Field(..., min_length=1, description="Name of the generator in reasoning-gym, such as chain_sum")
    size: int = Field(..., ge=1, le=10_000_000, description="How many tasks")
    seed: int = Field(..., ge=0, description="Seed of the tasks")
    levels: dict[str, int] = Field(default={}, description="Level of each difficulty that its curriculum knows by name")
    options: dict[str, JsonValue] = Field(default={}, description="Options of its own, by name; they win over levels")

    @field_validator("dataset")
    @classmethod
    def _scored(cls, value: str) -> str:
        if (reason := refusal(value)) is not None:
            raise ValueError(reason)
        return value


Source = Annotated[SyntheticSource | StandInSource | FileSource | HubSource | GymSource, Field(discriminator="kind")]


class Dataset(Frozen):
    """Problems of one source and the choice among them: levels first, then a share by hash, in the source's order."""

    name: Name = Field(..., description="Name in the report; a benchmark's is its file's and its column's")
    source: Source
    levels: Annotated[tuple[int, ...] | None, LEFT_OUT] = Field(
        None, description="Keep only these levels of difficulty; null keeps all"
    )
    limit: Annotated[int | None, LEFT_OUT] = Field(
        None, ge=1, description="Keep at most so many, chosen by hash of prompt_id"
    )
    fraction: Annotated[float | None, LEFT_OUT] = Field(
        None, gt=0, le=1, description="Keep this share, chosen by hash of prompt_id"
    )
    subset_seed: Annotated[int, LEFT_OUT] = Field(
        0, ge=0, description="Another seed is another choice under limit or fraction"
    )

    @model_validator(mode="after")
    def _one_choice(self) -> "Dataset":
        if self.limit is not None and self.fraction is not None:
            raise ValueError("limit and fraction are both given; keep one")
        return self


class PromptsParams(Frozen):
    """Training problems, benchmarks, and how a problem becomes a prompt."""

    folder: str = Field(default="data", description="Folder that file sources are relative to")
    instruction: str = Field(default="", description="Put behind every problem as it is; may be empty")
    decontaminate: bool = Field(
        default=True, description="Drop training problems whose normalised text is in a benchmark"
    )
    train: tuple[Dataset, ...] = Field(..., min_length=1, description="Training sources, in order")
    benchmarks: tuple[Dataset, ...] = Field(..., min_length=1, description="Benchmarks to evaluate on")

    @model_validator(mode="after")
    def _names(self) -> "PromptsParams":
        for field, datasets in (("train", self.train), ("benchmarks", self.benchmarks)):
            names = [dataset.name for dataset in datasets]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{field}: the name {twice[0]} is given twice")
        return self
