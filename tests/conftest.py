"""Without a GPU, Triton's kernels run in its interpreter, chosen when triton is imported: set it before any test."""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
