"""What a rule did on a batch, in numbers to read: overall, by quantile and by type of token.  Knows no rule."""

from typing import Any

import numpy as np

from tokenspectrum.weighting.apply import Weights

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def realised(weights: Weights, types_N: np.ndarray) -> dict[str, Any]:
    """An entry of realised.json; `types_N` holds the name of each token's type."""
    weight_N, score_N = weights.weight_N.double().numpy(), weights.score_N.double().numpy()
    by_type = {}
    for name in sorted(set(types_N.tolist())):
        of_type = types_N == name
        score = score_N[of_type].mean()
        by_type[name] = {
            "tokens": int(of_type.sum()),
            "kept_fraction": float((weight_N[of_type] > 0).mean()),
            "mean_weight": float(weight_N[of_type].mean()),
            "mean_score": None if np.isnan(score) else float(score),
        }
    return {
        "kept_fraction": weights.kept_fraction,
        "score_at_cut": weights.score_at_cut,
        **weights.extra,
        "mean_weight": float(weight_N.mean()),
        "weight_quantiles": {f"{q:g}": float(np.quantile(weight_N, q)) for q in QUANTILES},
        "by_type": by_type,
    }
