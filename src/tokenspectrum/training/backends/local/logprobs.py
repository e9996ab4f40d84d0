"""Log-probabilities of response tokens, to take gradients of.  Knows a model and padded token ids.  Knows no loss.

Legend: N response tokens of a micro-batch, B rows, T positions, C hidden size, V vocabulary.
"""

import torch
from transformers import PreTrainedModel

from tokenspectrum.policy.shareable import check_shareable
from tokenspectrum.training.backends.local.head import blocked_logprobs
from tokenspectrum.training.backends.local.padded import Padded

# The largest vocabulary whose logits a micro-batch holds.
WHOLE = 4096


def response_logprobs(model: PreTrainedModel, padded: Padded) -> torch.Tensor:
    """float32 N, differentiable: log-probability of every response token, full vocabulary, temperature 1.

    Logits are computed only where they are needed.  rollout/measure.py has checked that the head alone makes them,
    without a soft cap.  Those of a large vocabulary are never held all at once.
    """
    if "attention_mask" in padded.inputs:
        check_shareable(model)
    inputs = {name: value.to(model.device) for name, value in padded.inputs.items()}
    query_N, target_N = padded.query_N.to(model.device), padded.target_N.to(model.device)
    hidden_BTC = model.base_model(**inputs, use_cache=False).last_hidden_state
    hidden_NC, head = hidden_BTC.flatten(0, 1)[query_N], model.get_output_embeddings()
    if len(head.weight) > WHOLE:
        return blocked_logprobs(hidden_NC, head.weight, getattr(head, "bias", None), target_N)
    logits_NV = head(hidden_NC).float()
    return logits_NV.gather(1, target_N[:, None])[:, 0] - logits_NV.logsumexp(1)
