"""`train.dtype`: the precision that a policy computes in.  All that the stages that only sample read of `train`."""

from typing import Literal

from pydantic import RootModel

Dtype = Literal["float32", "bfloat16"]


class PolicyDtype(RootModel[Dtype]):
    """`train.dtype` as the stages read it that sample from a policy without training it."""
