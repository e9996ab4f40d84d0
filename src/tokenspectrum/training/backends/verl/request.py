"""What the driver asks of the actor's scoring pass, and under which names the answer comes back.

The driver and the workers share it.  Knows no verl and no model.
"""

from dataclasses import dataclass

from tokenspectrum.row_statistics import Statistic, asked, variants

# Keys of the batch: what is asked of a scoring pass, of an update, and the tokens whose whole rows are wanted.
REQUEST, UPDATE, ROW_TOKENS = "tokenspectrum_attention", "tokenspectrum_update", "tokenspectrum_row_tokens"
# Key of an update's batch: the response in each row.
RESPONSE = "tokenspectrum_response"


@dataclass(frozen=True)
class AttentionRequest:
    """Statistics of head-mean attention rows, of every response token at each of `layers` (see rollout/measure.py)."""

    layers: tuple[int, ...]
    alignment: str
    local_window: int
    top_k: int | None = None
    fixed_k: int | None = None
    support: bool = False

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """What is asked for."""
        return asked(self.top_k, self.fixed_k, self.support)

    @property
    def variants(self) -> tuple[str, ...]:
        """The same as entropy.attention_entropy wants to be asked."""
        return variants(self.statistics)


@dataclass(frozen=True)
class UpdateRequest:
    """An update's learning rate."""

    rate: float


def field_name(layer: int, slot: str) -> str:
    """Key of the statistic of that slot at a layer in the actor's answer."""
    return f"attention_{layer}_{slot}"


def rows_name(layer: int) -> str:
    """Key of whole attention rows at a layer in the actor's answer."""
    return f"attention_{layer}_rows"
