"""Regressions and correlations from sums over responses, so that resampled responses cost no second look at tokens.

Knows numbers.  Knows no table.

Legend: N tokens, G responses, M columns, D resamples.  Columns: 1, then x, then y, then the Z covariates.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

X, Y, FIRST_Z = 1, 2, 3


def design(x_N: np.ndarray, y_N: np.ndarray, covariates: Sequence[np.ndarray], degree: int) -> np.ndarray:
    """float64 (N, M): 1, x, y, and each covariate's powers.  All but y are standardised, which changes no residual."""
    columns = [np.ones_like(x_N), _standard(x_N), y_N]
    for value_N in covariates:
        z_N = _standard(value_N)
        columns += [_standard(z_N**power) for power in range(1, degree + 1)]
    return np.stack(columns, axis=1).astype(np.float64)


def ranks(value_N: np.ndarray) -> np.ndarray:
    """Ranks, ties by their mean."""
    return stats.rankdata(value_N).astype(np.float64)


def _standard(value_N: np.ndarray) -> np.ndarray:
    value_N = np.asarray(value_N, np.float64)
    spread = value_N.std()
    return (value_N - value_N.mean()) / (spread if spread > 0 else 1.0)


def sums(row_NM: np.ndarray, starts_G: np.ndarray) -> np.ndarray:
    """(G, M, M): sums of products of columns over each response, whose tokens begin at `starts_G`."""
    return np.add.reduceat(row_NM[:, :, None] * row_NM[:, None, :], starts_G, axis=0)


def correlation(moment_DMM: np.ndarray) -> np.ndarray:
    """Pearson's r of x and y of each of D sums of products; NaN where one is constant."""
    return _of(_covariance(moment_DMM)[:, :2, :2])


def partial_correlation(moment_DMM: np.ndarray) -> np.ndarray:
    """The same of what a regression of x and of y on the covariates leaves."""
    covariance = _covariance(moment_DMM)
    a, b, c = covariance[:, :2, :2], covariance[:, :2, 2:], covariance[:, 2:, 2:]
    return _of(a - b @ np.linalg.pinv(c, hermitian=True) @ b.transpose(0, 2, 1))


def _covariance(moment_DMM: np.ndarray) -> np.ndarray:
    n_D = moment_DMM[:, 0, 0]
    mean_DM = moment_DMM[:, 0, 1:] / n_D[:, None]
    return moment_DMM[:, 1:, 1:] / n_D[:, None, None] - mean_DM[:, :, None] * mean_DM[:, None, :]


def _of(left_D22: np.ndarray) -> np.ndarray:
    spread_D = left_D22[:, 0, 0] * left_D22[:, 1, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread_D > 1e-18, left_D22[:, 0, 1] / np.sqrt(spread_D), np.nan)


def residual_mean(moment_DMM: np.ndarray, group_DM: np.ndarray, *, given: bool) -> np.ndarray:
    """D: mean residual of y in a group, after a regression of y over all tokens on the covariates, or on nothing.

    `group_DM` has the group's sums of the columns; NaN where the group is empty.
    """
    keep = [0, *range(FIRST_Z, moment_DMM.shape[-1])] if given else [0]
    inner = moment_DMM[:, keep][:, :, keep]
    slope_DK = (np.linalg.pinv(inner, hermitian=True) @ moment_DMM[:, keep, Y][..., None])[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return (group_DM[:, Y] - (group_DM[:, keep] * slope_DK).sum(-1)) / group_DM[:, 0]
