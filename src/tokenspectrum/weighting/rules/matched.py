"""Controls of another hard rule: they keep as many tokens of each class as that rule does, but chosen by chance.

A class is a token's type, or the tenth of its response that holds it.  Classes are counted in each segment that the
matched rule ranks.  So in every segment both masks have the same histogram and the same number of tokens.

Covariate-matched joins three things into one class.  A response holds about one token of each such class, so there the
control would be the mask itself.  Its classes are therefore counted over the whole batch.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tokenspectrum.weighting.rules._control import Control
from tokenspectrum.weighting.rules.attention import Anchor, Explorer
from tokenspectrum.weighting.rules.loss import LossHigh, LossLow
from tokenspectrum.weighting.rules.predictive import PredictiveHigh, PredictiveLow

if TYPE_CHECKING:
    import numpy as np
    import torch

    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome

PARTS, FIFTHS = 10, 5


class MatchedRule(Control):
    """A control of the rule in `of`; scope, denominator and score are that rule's."""

    of: Anchor | Explorer | PredictiveHigh | PredictiveLow | LossHigh | LossLow = Field(
        ..., discriminator="kind", description="the rule to match; scope and denominator are its too"
    )


class TypeMatched(MatchedRule):
    """The same histogram of token types as the matched mask."""

    kind: Literal["type-matched"] = Field(
        ...,
        description="by chance, as many tokens of each type (special, digit, operator, punctuation, whitespace, word) "
        "as the rule in `of` keeps",
    )
    needs_types: ClassVar[bool] = True

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        if batch.token_type_N is None:
            raise ValueError("the batch has no token types")
        return _matched(self, batch, batch.token_type_N)


class PositionMatched(MatchedRule):
    """The same histogram of relative position as the matched mask: token t of T is in part floor(10 t / T)."""

    kind: Literal["position-matched"] = Field(
        ..., description="by chance, as many tokens of each tenth of a response as the rule in `of` keeps there"
    )

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        return _matched(self, batch, batch.position_N * PARTS // batch.lengths_R[batch.response_N])


class CovariateMatched(MatchedRule):
    """The same histogram of type x fifth of the response x fifth of predictive entropy, over the whole batch.

    Fifths of predictive entropy are those of one stable ascending sort of all tokens of the batch.  The batch is the
    rollout batch, or one mini-batch where the matched rule ranks by the policy being updated.  `overlap`, the share of
    the kept tokens that the matched rule keeps too, is logged: near 1, chance had no choice.
    """

    kind: Literal["covariate-matched"] = Field(
        ...,
        description="by chance, as many tokens of each type, fifth of a response and fifth of predictive entropy, "
        "taken together, as the rule in `of` keeps in the batch",
    )
    needs_types: ClassVar[bool] = True
    needs_predictive: ClassVar[bool] = True

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        import torch

        if batch.token_type_N is None:
            raise ValueError("the batch has no token types")
        place_N = batch.position_N * FIFTHS // batch.lengths_R[batch.response_N]
        fifth_N = torch.from_numpy(_fifths(batch.score_N("predictive_entropy").numpy(), batch))
        class_N = (batch.token_type_N * FIFTHS + place_N) * FIFTHS + fifth_N
        return _matched(self, batch, class_N, whole=True)


def _fifths(value_N: "np.ndarray", batch: "TokenBatch") -> "np.ndarray":
    """int64 N: floor(5 rank / N) of each token in one ascending sort by (value, position, name)."""
    import numpy as np

    from tokenspectrum.weighting.rules._masks import by_place
    from tokenspectrum.weighting.rules._select import first_k

    one_N, fifth_N = np.zeros(batch.n_tokens, np.int64), np.zeros(batch.n_tokens, np.int64)
    keys = [lambda at: value_N[at], *by_place(batch)]
    for i in range(1, FIFTHS):
        below = -(-i * batch.n_tokens // FIFTHS)  # ranks below it are in a fifth before the i-th
        fifth_N += ~first_k(keys, one_N, np.array([below]))[0]
    return fifth_N


def _matched(rule: MatchedRule, batch: "TokenBatch", class_N: "torch.Tensor", *, whole: bool = False) -> "Outcome":
    import numpy as np
    import torch

    from tokenspectrum.weighting.outcome import Outcome
    from tokenspectrum.weighting.rules._masks import by_place, mask_uniforms, ranked_among
    from tokenspectrum.weighting.rules._select import first_k

    kept_N = rule.of.weigh(batch).selected_N
    classes = int(class_N.max()) + 1 if batch.n_tokens else 1
    cell_N = (class_N if whole else batch.segment_N(rule.of.scope) * classes + class_N).numpy()
    wanted_C = np.bincount(cell_N[kept_N.numpy()], minlength=int(cell_N.max(initial=-1)) + 1)
    u_N = mask_uniforms(batch)
    # A hash is below 1, so tokens that the matched rule does not rank come last, and none of them is wanted.
    late_N = u_N + ~ranked_among(rule.of, batch).numpy()
    found_N, _ = first_k([lambda at: late_N[at], *by_place(batch)], cell_N, wanted_C)
    selected_N, u_N = torch.from_numpy(found_N), torch.from_numpy(u_N)
    if not whole:
        return Outcome(selected_N.float(), selected_N, u_N)
    overlap = int((selected_N & kept_N).sum()) / max(1, int(kept_N.sum()))
    return Outcome(selected_N.float(), selected_N, u_N, extra={"overlap": overlap})
