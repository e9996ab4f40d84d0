"""The rollout engine that params name, on a policy folder.  Knows where engines live, and nothing else of them.

Another engine is a folder below engines/ with a module `start`, and its name in params/rollouts.py and evaluate.py.
"""

import pkgutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from tokenspectrum.rollout import engines
from tokenspectrum.rollout.engine import RolloutEngine
from tokenspectrum.systems.params import SystemsParams


def make_engine(
    name: str, policy: Path, systems: SystemsParams, *, dtype: str, max_tokens: int
) -> AbstractContextManager[tuple[RolloutEngine, PreTrainedTokenizerBase]]:
    """(engine, the policy's tokenizer); `max_tokens` of prompt and response together.  Leaving it ends the engine."""
    return _of(name, "start")(policy, systems, dtype=dtype, max_tokens=max_tokens)


def prompts_at_once(name: str, systems: SystemsParams, n: int) -> int:
    """Prompts of `n` responses to hand over together."""
    return max(1, _of(name, "at_once")(systems) // n)


def _of(name: str, function: str) -> Any:
    """From the module of that engine, which is imported now; those of the others are not."""
    return pkgutil.resolve_name(f"{engines.__name__}.{name}.start:{function}")
