"""Problems of one dataset of the params: from a generator, a local file or the hub.

Knows where problems come from, not which of them are taken.
"""

from dataclasses import dataclass
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.params.prompts import Dataset, FileSource, GymSource, HubSource, StandInSource, SyntheticSource
from tokenspectrum.prompts import synthetic
from tokenspectrum.prompts.files import read_rows
from tokenspectrum.prompts.formats import parse
from tokenspectrum.prompts.golds import contradiction, contradicts
from tokenspectrum.prompts.gym import make_tasks
from tokenspectrum.prompts.hub import check_sha256, fetch
from tokenspectrum.prompts.problem import Problem


@dataclass(frozen=True)
class Loaded:
    """Problems in the source's order.

    Of its `read` rows, `repeated` repeat an earlier one word for word, `left_out` are not what the format asks for
    (formats.py says which), and each of `contradictions` names a repeat with another gold; the first row's counts.
    """

    problems: list[Problem]
    read: int
    repeated: int
    left_out: int
    contradictions: tuple[str, ...] = ()


def _from_file(path: Path, source: FileSource | HubSource, dataset: str) -> Loaded:
    problems: dict[str, Problem] = {}
    read = repeated = left_out = 0
    contradictions: list[str] = []
    for row in read_rows(path):
        read += 1
        problem = parse(row, source.format, dataset, source.columns)
        if problem is None:
            left_out += 1
        elif (earlier := problems.setdefault(problem.prompt_id, problem)) is problem:
            continue
        elif contradicts(earlier, problem):
            contradictions.append(contradiction(earlier, problem))
        else:
            repeated += 1
    if not problems:
        raise UserError(f"{path}: no problem of format {source.format} in {read} rows")
    return Loaded(list(problems.values()), read, repeated, left_out, tuple(contradictions))


def load(dataset: Dataset, folder: str) -> Loaded:
    """All problems of `dataset`, before any choice."""
    source = dataset.source
    match source:
        case SyntheticSource():
            problems = synthetic.make_train(source.n, source.seed, source.k_min, source.k_max)
            return Loaded(problems, len(problems), 0, 0)
        case StandInSource():
            problems = synthetic.make_benchmark(source.benchmark, source.n, source.seed)
            return Loaded(problems, len(problems), 0, 0)
        case GymSource():
            tasks = make_tasks(source, dataset.name)
            unique: dict[str, Problem] = {}
            for task in tasks:
                unique.setdefault(task.prompt_id, task)
            return Loaded(list(unique.values()), len(tasks), len(tasks) - len(unique), 0)
        case FileSource():
            path = Path(folder) / source.path  # an absolute path stands for itself
            loaded = _from_file(path, source, dataset.name)
            if source.sha256 is not None:
                check_sha256(path, source.sha256, f"dataset {dataset.name}: {path}")
            return loaded
        case HubSource():
            return _from_file(fetch(source, f"dataset {dataset.name}"), source, dataset.name)
