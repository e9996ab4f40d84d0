"""Find the trainer that params name.  Knows in which folder trainers are, and nothing else of them.

Another trainer is a folder below backends/: a class like training.backend.Backend, and a module `trainer` whose
function `train(job)` starts it.  No list names it, so that adding one reruns nothing.
"""

import pkgutil
from collections.abc import Callable

from tokenspectrum.training import backends
from tokenspectrum.training.job import TrainJob


def trainer(name: str) -> Callable[[TrainJob], None]:
    """The train function of the trainer `name`.  Only its module is imported; those of other trainers are not."""
    return pkgutil.resolve_name(f"{backends.__name__}.{name}.trainer:train")
