"""Statistics of attention rows that are already computed: entropy, moments, top-k, support sizes.

Works on plain rows of probabilities, zero beyond what a row sees.  It does not know where the rows come from.
Shapes: R rows, S positions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tokenspectrum.entropy.types import Options
from tokenspectrum.row_statistics import STATISTICS, SUPPORT_MASSES

# A share counts as reached if this much mass is missing, so that rounding does not decide.  Example: eight positions of
# a uniform row of ten hold 80 %, however the sum is rounded.
SUPPORT_TOLERANCE = 1e-6


def row_statistics(a_RS: Tensor, position_R: Tensor, options: Options) -> dict[str, Tensor]:
    """Every statistic in `options` (and `raw`) of head-averaged rows.  a_RS is overwritten.

    Args:
        a_RS: rows of probabilities; column j is position j. Where j > position it holds a number so small that neither
            it nor its a ln a changes a sum. It is not 0, because the logarithm must be finite.
        position_R: int64 position of each row's query; the row sees position + 1 positions.

    Returns:
        one (R,) tensor a statistic, by the field names of `AttentionEntropy`, not yet clamped.
    """
    variants = options.variants
    out = sorted_statistics(a_RS, options) if options.sorts else {}
    if "distance" in variants:
        # sum_j a_j (p - j).  j is counted from the row block's last position: there most of the mass is, so most terms
        # are small.
        last = a_RS.shape[1] - 1
        back_S = torch.arange(last, -1, -1, dtype=a_RS.dtype, device=a_RS.device)
        out["distance"] = a_RS @ back_S - (last - position_R).to(a_RS.dtype) * a_RS.sum(1)
    if "local_mass" in variants:
        out["local_mass"] = _local_mass(a_RS, position_R, options.local_window)
    if "fixed" in variants:
        out["fixed"] = renormalised_entropy(a_RS[:, : options.fixed_k])
        out["fixed_mass"] = a_RS[:, : options.fixed_k].sum(1)
    out["raw"] = a_RS.mul_(a_RS.log()).sum(1).neg_()
    return out


@dataclass(frozen=True)
class SortedRows:
    """Rows of probabilities, each in descending order."""

    descending_RS: Tensor

    @cached_property
    def cumulative_RS(self) -> Tensor:
        """float64: cumulative sums, the mass of the first 1, 2, ... positions."""
        return self.descending_RS.cumsum(1, dtype=torch.float64)

    def top_entropy(self, k: int) -> Tensor:
        """(R,) entropy of the k largest entries, renormalised."""
        return renormalised_entropy(self.descending_RS[:, :k])

    def support(self, masses: Sequence[float]) -> Tensor:
        """(R, M) int64: fewest positions that hold each share of a row's mass."""
        total_R1 = self.cumulative_RS[:, -1:]
        # searchsorted counts the prefixes that hold too little.  One more position is enough.
        wanted_M = torch.tensor(masses, dtype=torch.float64, device=self.descending_RS.device) - SUPPORT_TOLERANCE
        return torch.searchsorted(self.cumulative_RS, total_R1 * wanted_M) + 1


def sorted_statistics(a_RS: Tensor, options: Options) -> dict[str, Tensor]:
    """The statistics in `options` that need each row's probabilities in order (`whole` in row_statistics.py)."""
    out = {}
    rows = SortedRows(a_RS.sort(dim=1, descending=True).values)
    for statistic in STATISTICS:
        if statistic.whole and statistic.variant in options.variants:
            out[statistic.slot] = statistic.whole(rows, options)
    return out


def renormalised_entropy(a_RS: Tensor) -> Tensor:
    """(R,) entropy of each row divided by its sum."""
    p_RS = a_RS / a_RS.sum(1, keepdim=True)
    return torch.special.entr(p_RS).sum(1)


def clamp_entropy(entropy: Tensor, count: Tensor | int) -> Tensor:
    """Clamp entropies over `count` outcomes to [0, ln count].  The bound is rounded down to the entropies' dtype."""
    if isinstance(count, int):
        exact = torch.tensor(math.log(count), dtype=torch.float64, device=entropy.device)
    else:
        exact = count.double().log()
    most = exact.to(entropy.dtype)
    most = torch.where(most.double() > exact, torch.nextafter(most, torch.zeros_like(most)), most)
    return torch.minimum(entropy.clamp_min(0.0), most)


def support_size(rows: Tensor, masses: Sequence[float] = SUPPORT_MASSES) -> Tensor:
    """Fewest positions that hold a share of each row's mass.

    Args:
        rows: (..., S) non-negative rows; zeros pad. They need not sum to 1: shares are of the row's own sum.
        masses: M shares in (0, 1].

    Returns:
        (..., M) int64. A share counts as reached within 1e-6, so that rounding does not decide exact ties.

    Raises:
        ValueError: a share outside (0, 1], or a row with a negative or NaN entry or without any mass.
    """
    for mass in masses:
        if not 0 < mass <= 1:
            raise ValueError(f"support_size: a share of mass must be in (0, 1], got {mass}")
    if rows.dim() < 1 or rows.shape[-1] < 1 or not bool((rows >= 0).all()):
        raise ValueError("support_size: rows must be non-negative numbers, at least one a row")
    if not bool((rows.sum(-1) > 0).all()):
        raise ValueError("support_size: a row has no mass")
    flat_RS = rows.reshape(-1, rows.shape[-1])
    sizes_RM = SortedRows(flat_RS.sort(dim=1, descending=True).values).support(masses)
    return sizes_RM.reshape(*rows.shape[:-1], len(masses))


def _local_mass(a_RS: Tensor, position_R: Tensor, window: int) -> Tensor:
    """Mass on the last `window` positions up to the query's own.  Columns that no row needs are not read."""
    first = max(int(position_R.min()) - window + 1, 0)
    columns = torch.arange(first, a_RS.shape[1], device=a_RS.device)
    near_RS = columns[None, :] > position_R[:, None] - window
    return (a_RS[:, first:] * near_RS).sum(1)
