"""Tasks of reasoning-gym: made by its generators, and answers scored by them.

A task is named by (dataset, seed, size, levels, options, index) and made again from that wherever it is scored.  So
whatever a generator knows of its task is there, and only text travels.  A scorer gets a copy of the task, so that no
answer can change what the next is scored by.  Datasets whose scorers run an answer, or may never end, are refused
(params/gym.py).  Knows no prompt and no box.
"""

import copy
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.gym import refusal

# A longer answer is a policy running on; some scorers take the square of its length.
_MAX_CHARACTERS = 2000
_MAX_GOLDS = 4
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")


def _near(name: str, there: Iterable[str]) -> str:
    names = sorted(there)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.55)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names) or 'none'}"


def _config(name: str, seed: int, size: int, levels: Mapping[str, int], options: Mapping[str, Any]) -> Any:
    from reasoning_gym.factory import CURRICULA, DATASETS, create_curriculum

    if name not in DATASETS:
        raise UserError(f"reasoning-gym has no dataset {name!r:.60}; {_near(name, DATASETS)}")
    config_class: Any = DATASETS[name][1]
    there = {field.name for field in fields(config_class)} - {"seed", "size"}
    for option in options:
        if option not in there:
            raise UserError(f"reasoning-gym's {name} has no option {option!r:.60}; {_near(option, there)}")
    given = {**options, "seed": seed, "size": size}
    if not levels:
        return config_class(**given)
    if name not in CURRICULA:
        raise UserError(f"reasoning-gym's {name} has no levels; use options: {', '.join(sorted(there))}")
    curriculum = create_curriculum(name)
    for attribute, level in levels.items():
        if attribute not in curriculum.attributes:
            raise UserError(
                f"reasoning-gym's {name} has no level of {attribute!r:.60}; {_near(attribute, curriculum.attributes)}"
            )
        most = len(curriculum.attributes[attribute].levels) - 1
        if not 0 <= level <= most:
            raise UserError(f"reasoning-gym's {name}: level {level} of {attribute}; it has 0 to {most}")
        curriculum.set_attr_level(attribute, level)
    config = curriculum.generate_configuration(given)
    # An option that is given stands, whatever a level says of it.
    for option, value in options.items():
        setattr(config, option, value)
    return config


@lru_cache(maxsize=64)
def generator(spec: str) -> Any:
    """The dataset that `spec` names: JSON of dataset, seed, size, levels and options.

    Raises UserError for a package that is not here, for a dataset that is refused here, and for a name, a level or an
    option that reasoning-gym refuses.
    """
    given = json.loads(spec)
    name = given["dataset"]
    if (reason := refusal(name)) is not None:
        raise UserError(reason)
    try:
        from reasoning_gym.factory import DATASETS
    except ImportError as e:
        raise UserError(
            f"reasoning-gym's {name}: the package cannot be imported ({e!s:.120}); `make setup-laptop` installs it"
        ) from None
    try:
        config = _config(**{"name" if key == "dataset" else key: value for key, value in given.items()})
        if hasattr(config, "validate"):
            config.validate()
        return DATASETS[name][0](config=config)
    except (AssertionError, TypeError, ValueError, KeyError) as e:
        reason = (str(e).splitlines() or [type(e).__name__])[0]
        raise UserError(f"reasoning-gym's {name} refuses its options: {reason:.160}") from None


@lru_cache(maxsize=65536)
def entry(spec: str, index: int) -> dict[str, Any]:
    """Question, answer and metadata of one task.  Raises UserError where it cannot be made."""
    made = generator(spec)
    try:
        return made[index]
    except Exception as e:  # a generator that cannot meet its options raises one of many
        reason = (str(e).splitlines() or [type(e).__name__])[0]
        raise UserError(
            f"reasoning-gym's {json.loads(spec)['dataset']} fails at task {index} ({reason:.160}); "
            "change its options or its seed"
        ) from None


def find(task: str, oracle: str) -> tuple[str, dict[str, Any]]:
    """The spec and the entry of that task.  Not for changing: every scoring of it begins with the same.

    Raises UserError where the task cannot be made here, or has another answer than `oracle`: then another version of
    reasoning-gym wrote it.
    """
    given = json.loads(task)
    index = given.pop("index")
    spec = json.dumps(given, sort_keys=True)
    made = entry(spec, index)
    if answer_text(made) != oracle:
        raise UserError(
            f"reasoning-gym's {given['dataset']}: task {index} has another answer here than in the prompts; "
            "another version is installed than the one that made them: run the prompts stage again"
        )
    return spec, made


def score(task: str, answer: str, oracle: str) -> float:
    """reasoning-gym's score of `answer`, 0 to 1.  `task` is JSON of a spec's fields and `index`.

    What a scorer cannot read scores 0, and so does an answer over 2,000 characters and four times the gold.  Raises
    UserError for a task that is not here (`find`).
    """
    spec, made = find(task, oracle)
    if len(answer) > max(_MAX_CHARACTERS, _MAX_GOLDS * len(oracle)):
        return 0.0
    # LaTeX's way to write a word in a box.
    wrapped = _WRAPPED.fullmatch(answer.strip())
    asked = (wrapped.group(1) if wrapped else answer).strip()
    try:
        found = float(generator(spec).score_answer(asked, copy.deepcopy(made)))
    except Exception:  # a scorer parses what a model wrote, and fails in as many ways
        return 0.0
    return min(max(found, 0.0), 1.0) if found == found else 0.0


def answer_text(made: Mapping[str, Any]) -> str:
    """The answer that the generator has for its task."""
    return "" if made["answer"] is None else str(made["answer"])
