"""The trainers, one folder each: `train.trainer` chooses."""

import pkgutil


def trainer_names() -> tuple[str, ...]:
    """Their names, sorted.  A stage's frozen copy holds no other than its own."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg))
