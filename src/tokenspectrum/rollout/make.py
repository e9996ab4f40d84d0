"""Start the rollout engine that params name.  Knows in which folder engines are, and nothing else of them.

Another engine is a folder below engines/ with a module `start`, and its name in params/rollouts.py and evaluate.py.
"""

import itertools
import pkgutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from tokenspectrum.rollout import engines
from tokenspectrum.rollout.engine import RolloutEngine
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.side_by_side import side_by_side


def make_engine(
    name: str, policy: Path, systems: SystemsParams, *, dtype: str, max_tokens: int
) -> AbstractContextManager[tuple[RolloutEngine, PreTrainedTokenizerBase]]:
    """(engine, the policy's tokenizer).  `max_tokens` limits prompt plus response.  The block's end ends the engine."""
    return _of(name, "start")(policy, systems, dtype=dtype, max_tokens=max_tokens)


def prompts_at_once(name: str, systems: SystemsParams, n: int) -> int:
    """How many prompts of `n` responses to give the engine at once."""
    return max(1, _of(name, "at_once")(systems) // n)


def processes_of(name: str, systems: SystemsParams) -> int:
    """How many forks of this process may hold the engine and sample side by side."""
    return _of(name, "processes")(systems)


def generate_side_by_side(
    engine: RolloutEngine,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    seed: int,
    *,
    chunk: int,
    processes: int,
    domain: str = "sample",
) -> list[Response]:
    """Responses of step 0, prompt-major.  `chunk` prompts go to the engine at once; `processes` share the chunks."""
    pieces = [prompts[first : first + chunk] for first in range(0, len(prompts), chunk)]
    each = side_by_side(
        lambda piece: engine.generate(piece, sampling, seed, 0, domain=domain), pieces, min(processes, len(pieces))
    )
    return list(itertools.chain.from_iterable(each))


def _of(name: str, function: str) -> Any:
    """A function of the engine `name`.  Only its module is imported; those of other engines are not."""
    return pkgutil.resolve_name(f"{engines.__name__}.{name}.start:{function}")
