"""What must be set before any test runs.

First of all portable arithmetic.  Without a GPU, Triton's kernels run in its interpreter: that is chosen when triton is
imported.  Hypothesis puts no limit on an example's seconds: other work on the machine would break it.
"""

import os

# First of all: libraries read the pins when they are loaded.
import tokenspectrum.portable  # noqa: F401

# isort: split
import torch
from hypothesis import settings

from tokenspectrum.portable.kernels import install

install()
pytest_plugins = ["kit.browser", "kit.warm.fixture"]
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
