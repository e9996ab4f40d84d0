"""The statistics of the attention row, each declared once.

From here they get their column in the table `attention`, their field in what the kernels and the scoring return, and
the name by which a rule looks at them.  Knows names, units and whole rows; knows no kernel, model or table.

The row is the head-mean attention row of a query.  Read at plan time, so torch is not imported here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from tokenspectrum.entropy.rows import SortedRows
    from tokenspectrum.entropy.types import Options

SUPPORT_MASSES = (0.50, 0.80, 0.90, 0.95)


@dataclass(frozen=True)
class Statistic:
    """A number of each row.

    name      column of the table `attention`, and the `score` of a rule
    slot      what the backends call it: a field of AttentionEntropy
    unit      nats, positions, share (of the mass), or "" for a ratio
    about     description of the column
    variant   how a caller asks for it; None where it always comes
    param     the param that it takes; where that may be null, null asks for no such statistic
    optional  not of every token: only of the probe and of sampled responses, elsewhere null
    counts    a whole number: int64 here, int32 in the table
    whole     finds it in whole rows: R sorted rows and the options -> (R,).  None for a sum over the row, which each
              backend adds up as it goes (entropy/rows.py, kernel_attention.py)
    """

    name: str
    slot: str
    unit: str
    about: str
    variant: str | None = None
    param: str | None = None
    optional: bool = False
    counts: bool = False
    whole: "Callable[[SortedRows, Options], Tensor] | None" = None


def _support(mass: float) -> Statistic:
    name, about = f"support_{mass * 100:.0f}", f"fewest positions that hold {mass * 100:.0f} % of the mass"
    return Statistic(
        name,
        slot=name,
        unit="positions",
        about=about,
        variant="support",
        optional=True,
        counts=True,
        whole=lambda rows, options: rows.support((mass,))[:, 0],
    )


STATISTICS = (
    Statistic("entropy_raw", "raw", "nats", "entropy of the head-mean row, nats"),
    Statistic("entropy_norm", "norm", "", "entropy_raw / ln visible, 0 where visible is 1"),
    Statistic("distance", "distance", "positions", "mean attention distance, positions", variant="distance"),
    Statistic(
        "local_mass", "local_mass", "share", "mass within the local window", variant="local_mass", param="local_window"
    ),
    Statistic(
        "entropy_topk",
        "topk",
        "nats",
        "of the k largest entries, renormalised, nats",
        variant="topk",
        param="top_k",
        optional=True,
        whole=lambda rows, options: rows.top_entropy(options.top_k),
    ),
    Statistic(
        "entropy_fixed",
        "fixed",
        "nats",
        "of the first K visible positions, renormalised, nats",
        variant="fixed",
        param="fixed_k",
        optional=True,
    ),
    *map(_support, SUPPORT_MASSES),
)
OF_EVERY_TOKEN = tuple(s.name for s in STATISTICS if not s.optional)


def asked(top_k: int | None, fixed_k: int | None, whole_rows: bool) -> tuple[Statistic, ...]:
    """What a caller gets who gives these params: `whole_rows` asks for what sorts the row and takes no param."""
    given = {"top_k": top_k, "fixed_k": fixed_k}
    return tuple(s for s in STATISTICS if not s.optional or (given[s.param] if s.param else whole_rows))


def variants(statistics: tuple[Statistic, ...]) -> tuple[str, ...]:
    """The words by which entropy.attention_entropy is asked for `statistics`."""
    return tuple(dict.fromkeys(s.variant for s in statistics if s.variant))
