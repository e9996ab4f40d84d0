"""The words of the heat maps of layers: titles, labels and captions follow from a panel's spec.  Draws nothing."""

from dataclasses import dataclass

from tokenspectrum.results.figures import METRICS

# What two layers are compared in -> the measure, and the tokens or scores that it is taken of.
AGREEMENT = {
    "anchors": ("Jaccard index", "the tokens of a response with the lowest"),
    "explorers": ("Jaccard index", "the tokens of a response with the highest"),
    "ranks": ("Spearman's rank correlation", "a response's"),
}
LAYER_SCORES = {"entropy_norm": METRICS["attention_entropy"][0], "entropy_raw": "attention entropy in nats"}


@dataclass(frozen=True)
class AgreementSpec:
    """What one heat map shows, layer by layer."""

    compared: str  # anchors, explorers or ranks
    score: str  # a column of the table attention
    alignment: str
    p: float  # fraction of a response's tokens in a mask
    bases: tuple[int, ...]  # base policies, a row of heat maps each
    responses: tuple[int, int]  # the fewest and the most of a pair: ranks need both scores to vary
    tokens: tuple[int, int]  # the fewest and the most of a base policy
    random: tuple[float, float] | None  # what two random masks of that size have, from and to; None for ranks

    def title(self, base: int) -> str:
        return f"{self.compared} of base {base}: {AGREEMENT[self.compared][0]}"

    @property
    def axis_label(self) -> str:
        return "layer, and predictive entropy last"

    @property
    def caption(self) -> str:
        """One sentence that names everything that the panel depends on."""
        measure, of = AGREEMENT[self.compared]
        n = f"n = {_span(self.responses, 'd')}"
        share = f"{of} {LAYER_SCORES[self.score]}"
        if self.random is None:
            parts = [
                f"{measure} of {share} at two layers, ties by average ranks",
                f"mean over {n} responses, where both vary",
            ]
        else:
            parts = [
                f"{measure} of {share} at two layers, p = {self.p:g}",
                f"mean over {n} responses",
                f"two random masks of that size: {_span(self.random, '.3f')} (white mark)",
            ]
        each = f"a row for each of base policies {', '.join(map(str, self.bases))}"
        parts += [
            f"{_span(self.tokens, 'd')} tokens",
            f"alignment {self.alignment}",
            "last row and column: predictive entropy instead",
            each if len(self.bases) > 1 else f"base policy {self.bases[0]}",
        ]
        return f"{self.compared}: {'; '.join(parts)}."


def _span(ends: tuple[float, float], form: str) -> str:
    low, high = (f"{end:{form}}" for end in ends)
    return low if low == high else f"{low} to {high}"
