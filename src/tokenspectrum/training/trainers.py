"""The trainers by name: `train.trainer` is one of these.  Knows where they live, and nothing else of them.

Another trainer is a folder below backends/: a class like training.backend.Backend, and a module `trainer` whose
function `train(job)` starts it.  No list names it, so that adding one reruns nothing.
"""

import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from tokenspectrum.training import backends

if TYPE_CHECKING:
    from tokenspectrum.training.job import TrainJob


def trainers() -> tuple[str, ...]:
    """Their names, sorted.  A stage's frozen copy holds no other than its own."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(backends.__path__) if module.ispkg))


def trainer(name: str) -> "Callable[[TrainJob], None]":
    """The train function of that trainer; its module is imported now, and those of the others are not."""
    return pkgutil.resolve_name(f"{backends.__name__}.{name}.trainer:train")
