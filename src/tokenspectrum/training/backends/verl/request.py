"""What the trainer asks of the actor's scoring pass, and under which names the answer comes back.

Shared by the driver and the workers; knows no verl and no model.
"""

from dataclasses import dataclass

from tokenspectrum.rollout.scores import SUPPORTS

# Keys of the batch: what is asked of a scoring pass, of an update, and the tokens whose whole rows are wanted.
REQUEST, UPDATE, ROW_TOKENS = "tokenspectrum_attention", "tokenspectrum_update", "tokenspectrum_row_tokens"
# Key of an update's batch: the response in each row.
RESPONSE = "tokenspectrum_response"


@dataclass(frozen=True)
class AttentionRequest:
    """Statistics of head-mean attention rows, of every response token at each of `layers` (see rollout/score.py)."""

    layers: tuple[int, ...]
    alignment: str
    local_window: int
    top_k: int | None = None
    fixed_k: int | None = None
    support: bool = False

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of what is asked for: fields of entropy.AttentionEntropy."""
        return (
            "raw",
            "norm",
            "distance",
            "local_mass",
            *(("topk",) if self.top_k else ()),
            *(("fixed",) if self.fixed_k else ()),
            *((f"support_{mass}" for mass in SUPPORTS) if self.support else ()),
        )

    @property
    def variants(self) -> tuple[str, ...]:
        """The same as entropy.attention_entropy wants to be asked."""
        plain = tuple(name for name in self.statistics[2:] if not name.startswith("support"))
        return (*plain, "support") if self.support else plain


@dataclass(frozen=True)
class UpdateRequest:
    """An update's learning rate."""

    rate: float


def field_name(layer: int, statistic: str) -> str:
    """Key of a statistic at a layer in the actor's answer."""
    return f"attention_{layer}_{statistic}"


def rows_name(layer: int) -> str:
    """Key of whole attention rows at a layer in the actor's answer."""
    return f"attention_{layer}_rows"
