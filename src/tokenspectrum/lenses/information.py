"""Information peaks (arXiv 2506.02867): how much a hidden state tells of the gold answer, by a normalised HSIC.

The D coordinates of the two states are taken as D draws of two numbers, as in that paper's code:

    K_ij = exp(-(x_i - x_j)^2 / (2 sigma^2)), centred;  R = K (K + eps D I)^-1;  information = tr(R_x R_y)

The state of a token is that of the query that emits it.  The answer's is that of the last token of \\boxed{answer},
read alone.

Knows a model and token ids.  Legend: T tokens, D hidden size, B rows, L positions.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

EPSILON = 1e-5


def hsic(x_TD: np.ndarray, y_D: np.ndarray, sigma: float | None) -> np.ndarray:
    """float64 T: the normalised HSIC of each row of x with y.

    `sigma` None: each state has a width of its own, the median distance between two of its coordinates (1 where that is
    0).
    """
    y_DD = _smoothed(y_D, _width(y_D, sigma))
    return np.array([float((_smoothed(x_D, _width(x_D, sigma)) * y_DD.T).sum()) for x_D in x_TD])


def _width(x_D: np.ndarray, sigma: float | None) -> float:
    if sigma is not None:
        return sigma
    distance = np.abs(x_D[:, None] - x_D[None])[np.tril_indices(len(x_D), -1)]
    median = float(np.median(distance))
    return median if median > 0 else 1.0


def _smoothed(x_D: np.ndarray, sigma: float) -> np.ndarray:
    """R of one state: symmetric, with eigenvalues from 0 to 1."""
    x_D = np.asarray(x_D, np.float64)
    kernel_DD = np.exp(-((x_D[:, None] - x_D[None]) ** 2) / (2 * sigma * sigma))
    kernel_DD = kernel_DD - kernel_DD.mean(0)
    kernel_DD = kernel_DD - kernel_DD.mean(1, keepdims=True)
    n = len(x_D)
    return np.linalg.solve(kernel_DD + EPSILON * n * np.eye(n), kernel_DD)


@torch.no_grad()
def states(model: PreTrainedModel, ids: Sequence[int], layer: int) -> np.ndarray:
    """float64 (L, D): the output of a layer at every position; of the last one, after the final norm."""
    ids_BL = torch.tensor([list(ids)], device=model.device)
    found = model.base_model(input_ids=ids_BL, use_cache=False, output_hidden_states=True)
    return found.hidden_states[layer + 1][0].double().cpu().numpy()
