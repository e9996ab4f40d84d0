"""The gold answer as one string, which verl carries in reward_model.ground_truth.

A problem with one answer, no unit and no tolerance has the bare answer as ground truth.  Any other has compact JSON:
    {"answers":["69","84"],"tolerance":0.1,"unit":"km"}
`answers` are all required, in any order; `unit` may follow an answer or be left out; `tolerance` is absolute.  `gym`
names a task of reasoning-gym, which scores answers itself.  Keys without a value are absent.  Knows nothing of how
answers are compared.
"""

import json
import math
from dataclasses import dataclass
from functools import lru_cache

_MARK = '{"answers":'
# What names a task of reasoning-gym (reward/gym.py).
_TASK = {"dataset": str, "index": int, "levels": dict, "options": dict, "seed": int, "size": int}


@dataclass(frozen=True)
class Gold:
    """What a right answer must say: every one of `answers`, each in `unit` if one is named and within `tolerance`.

    `gym` is the JSON of reward/gym.py's task, whose scorer decides alone.
    """

    answers: tuple[str, ...]
    unit: str | None = None
    tolerance: float | None = None
    gym: str | None = None


def encode_gold(gold: Gold) -> str:
    """The ground_truth string of `gold`: the bare answer where that says it all, else JSON."""
    if len(gold.answers) == 1 and gold.unit is gold.tolerance is gold.gym is None:
        return gold.answers[0]
    values = {"answers": gold.answers, "gym": gold.gym, "tolerance": gold.tolerance, "unit": gold.unit}
    return json.dumps({k: v for k, v in values.items() if v is not None}, separators=(",", ":"), sort_keys=True)


@lru_cache(maxsize=65536)
def decode_gold(ground_truth: str) -> Gold:
    """The inverse of encode_gold; a ValueError for what begins like its JSON and is not."""
    if not ground_truth.startswith(_MARK):
        return Gold((ground_truth,))
    values = json.loads(ground_truth)
    answers, unit, tolerance, gym = (values.get(key) for key in ("answers", "unit", "tolerance", "gym"))
    if not isinstance(answers, list) or not answers or not all(isinstance(text, str) for text in answers):
        raise ValueError("answers must be a list of texts")
    if unit is not None and not isinstance(unit, str):
        raise ValueError(f"unit must be a text, found {json.dumps(unit):.40}")
    if tolerance is not None and (type(tolerance) not in (int, float) or not 0 <= tolerance < math.inf):
        raise ValueError("tolerance must be a number that is not below 0")
    if gym is not None and not _is_task(gym):
        raise ValueError(f"gym must be a task of reasoning-gym as JSON in a text, found {json.dumps(gym):.40}")
    return Gold(tuple(answers), unit, tolerance, gym)


def _is_task(gym: object) -> bool:
    """Whether `gym` has the form of reward/gym.py's task."""
    try:
        values = json.loads(gym) if isinstance(gym, str) else None
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and {key: type(value) for key, value in values.items()} == _TASK
