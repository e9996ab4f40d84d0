"""Log-probabilities of response tokens, to take gradients of.  Knows a model and padded token ids.  Knows no loss.

Legend: N response tokens of a micro-batch, B rows, T positions, C hidden size, V vocabulary.
"""

import torch
from transformers import PreTrainedModel

from tokenspectrum.training.backends.local.padded import Padded


def response_logprobs(model: PreTrainedModel, padded: Padded) -> torch.Tensor:
    """float32 N, differentiable: log-probability of every response token, full vocabulary, temperature 1.

    Logits are computed only where they are needed.  rollout/measure.py has checked that the head alone makes them,
    without a soft cap.
    """
    hidden_BTC = model.base_model(input_ids=padded.ids_BT, use_cache=False).last_hidden_state
    logits_NV = model.get_output_embeddings()(hidden_BTC.flatten(0, 1)[padded.query_N]).float()
    return logits_NV.gather(1, padded.target_N[:, None])[:, 0] - logits_NV.logsumexp(1)
