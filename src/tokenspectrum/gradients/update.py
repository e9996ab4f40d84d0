"""The update that a batch asks for: its gradient, shared out among subsets of tokens and among single tokens.

    g = (1/N) sum_t g_t,  g_t = -A_t grad log pi(y_t)        the loss's gradient at ratio 1, all tokens
    h = grad E[correct]                                      cross-fitted: accuracy.py

A step of length e against g_S changes the accuracy by -e <g_S, h> / |g_S|, to first order: `gain`, in points.

Knows a model, responses and weights.  Knows no rule and no file.

Legend: R responses, N response tokens.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from transformers import PreTrainedModel

from tokenspectrum.gradients.accuracy import accuracy_coefficients, halves
from tokenspectrum.gradients.geometry import geometry
from tokenspectrum.gradients.held import held
from tokenspectrum.gradients.norms import token_norms
from tokenspectrum.gradients.pull import dots
from tokenspectrum.gradients.squares import products
from tokenspectrum.gradients.subsets import Subset
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.backends.local.pulls import held_at_once

FULL = "full"


class Batch(Protocol):
    """Responses in order, with their lengths, advantages and verdicts."""

    @property
    def seed(self) -> int: ...
    @property
    def responses(self) -> Sequence[Response]: ...
    @property
    def lengths(self) -> np.ndarray: ...
    @property
    def advantage_R(self) -> np.ndarray: ...
    @property
    def correct_R(self) -> np.ndarray: ...


class Places(Protocol):
    """Where each token stands."""

    response_id_N: np.ndarray
    position_N: np.ndarray


@dataclass(frozen=True)
class Update:
    """What `measure_update` found.

    along_S    <g_S, g>, own_S |g_S|^2 and accuracy_S <g_S, h>, all with N as denominator; first of all tokens
    dot_N      <g_t, g>; accuracy_dot_N <g_t, h>; norm_N |g_t|, NaN where it was not asked for
    """

    subsets: Sequence[Subset]
    own_S: Sequence[float]
    along_S: Sequence[float]
    accuracy_S: Sequence[float]
    dot_N: np.ndarray
    accuracy_dot_N: np.ndarray
    norm_N: np.ndarray

    def subset_columns(self) -> dict[str, Any]:
        """Columns of the table `gradients`: a row a subset and denominator."""
        rows, n = [], len(self.dot_N)
        for subset, own, along, accuracy in zip(self.subsets, self.own_S, self.along_S, self.accuracy_S, strict=True):
            total = float(subset.weight_N.double().sum())
            for denominator, scale in (("all", 1.0), ("selected", n / total if total else 0.0)):
                found = geometry(own, along, self.own_S[0], scale)
                rows.append(
                    {
                        "subset": subset.name,
                        "denominator": denominator,
                        "layer": subset.layer,
                        "tokens": int((subset.weight_N > 0).sum()),
                        "norm_ratio": found.norm_ratio,
                        "cosine": found.cosine,
                        "proj_ratio": found.proj_ratio,
                        "gain": -100 * accuracy / math.sqrt(own) if own else None,
                        "overlap": subset.overlap,
                    }
                )
        return {name: [row[name] for row in rows] for name in rows[0]}

    def token_columns(self, places: Places) -> dict[str, Any]:
        """Columns of the table `token_gradients`."""
        return {
            "response_id": places.response_id_N,
            "position": places.position_N,
            "norm": [None if math.isnan(norm) else norm for norm in self.norm_N.tolist()],
            "dot": self.dot_N,
            "accuracy_dot": self.accuracy_dot_N,
        }


def measure_update(
    model: PreTrainedModel,
    batch: Batch,
    subsets: Sequence[Subset],
    chosen: Sequence[tuple[int, int]],
    micro_batch: int,
    share_prompts: bool = False,
    report: Callable[[int], None] = lambda done: None,
    processes: int = 1,
) -> Update:
    """The gradient of all tokens, of every subset, and of every token along them; |g_t| of the tokens `chosen`.

    `processes` share the micro-batches of every pass; the numbers are the same.
    `report` counts responses: each is gone through four times.
    """
    responses, count = batch.responses, len(batch.responses)
    ids = [response.prompt_id for response in responses]
    advantage_N = np.repeat(batch.advantage_R.astype(np.float64), batch.lengths)
    n = len(advantage_N)
    half_R = halves(ids, batch.seed)
    accuracy_2N = np.repeat(accuracy_coefficients(batch.correct_R, ids, half_R), batch.lengths, axis=1)
    rows = torch.from_numpy(np.concatenate([-advantage_N[None] / n, accuracy_2N])).float()
    few, batches = held_at_once(model), (micro_batch, share_prompts)
    own_S, along = list[float](), list[np.ndarray]()
    # As many directions are held as memory takes: of a large policy, one.
    for first in range(0, len(rows), few):
        directions, square = held(model, responses, rows[first : first + few], *batches, processes)
        own_S = own_S or [square]
        along += list(dots(model, responses, directions, *batches, processes=processes).numpy())
        del directions
        report(2 * count * len(along) // len(rows))
    along_3N = np.stack(along)
    dot_N = -advantage_N * along_3N[0]
    other_N = np.repeat(1 - half_R, batch.lengths)
    accuracy_dot_N = -advantage_N * np.where(other_N == 0, along_3N[1], along_3N[2])
    everything = [Subset(FULL, None, torch.ones(n)), *subsets]
    along_S, accuracy_S = [], []
    # Subsets of the same tokens, such as a rule's and those of its layer, have one gradient.
    weight_SN = [subset.weight_N.double().numpy() for subset in subsets]
    distinct = list({weight_N.tobytes(): weight_N for weight_N in weight_SN}.values())

    if distinct:
        rows = torch.from_numpy(-advantage_N * np.stack(distinct) / n).float()

        def tell(done: int) -> None:
            report(2 * count + done * count // len(distinct))

        found = products(model, responses, rows, *batches, report=tell, processes=processes)
        own = dict(zip([weight_N.tobytes() for weight_N in distinct], found.own_K, strict=True))
        own_S += [own[weight_N.tobytes()] for weight_N in weight_SN]
    for subset in everything:
        weight_N = subset.weight_N.double().numpy()
        along_S.append(float((weight_N * dot_N).sum()) / n)
        accuracy_S.append(float((weight_N * accuracy_dot_N).sum()) / n)
    norm_N = np.full(n, np.nan)
    starts = np.cumsum(batch.lengths) - batch.lengths
    norm_N[[int(starts[r]) + t for r, t in chosen]] = 0.0
    pulling = [(r, t) for r, t in chosen if batch.advantage_R[r] != 0]
    places = [int(starts[r]) + t for r, t in pulling]
    norm_N[places] = np.abs(advantage_N[places]) * np.array(token_norms(model, responses, pulling, processes))
    report(4 * count)
    return Update(everything, own_S, along_S, accuracy_S, dot_N, accuracy_dot_N, norm_N)
