"""A vLLM logits processor: requests that carry a Heat are sampled at temperatures that depend on the token.

vLLM runs it before its own temperature, which is 1 for such a request.  Knows vLLM's interface.
"""

from typing import Any

import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

from tokenspectrum.rollout.heat import temperatures
from tokenspectrum.rollout.types import Heat

KEY = "tokenspectrum_heat"


class HeatProcessor(AdapterLogitsProcessor):
    """Divides a request's logits by its token's temperature."""

    def is_argmax_invariant(self) -> bool:
        return True

    def new_req_logits_processor(self, params: SamplingParams) -> Any:
        """The function of one request, or None where it carries nothing."""
        given = (params.extra_args or {}).get(KEY)
        if given is None:
            return None
        heat = Heat(*given)

        def apply(output_ids: list[int], logits_V: torch.Tensor) -> torch.Tensor:
            return logits_V / temperatures(logits_V[None], heat)[0]

        return apply
