"""What a figure shows, said once: axis labels and caption follow from its spec.  Knows no numbers and draws nothing."""

from dataclasses import dataclass

# Column of the table metrics -> what it scores, in which unit, over what the mean of a step is taken.
METRICS = {
    "reward": ("reward, overlong penalty included", "", "responses"),
    "accuracy": ("accuracy", "fraction", "responses"),
    "length": ("response length", "tokens", "responses"),
    "predictive_entropy": ("predictive entropy", "nats", "tokens"),
    "attention_entropy": ("attention entropy / ln(visible)", "", "tokens"),
    "kept_fraction": ("tokens with positive weight", "fraction", "tokens"),
    "clip_fraction": ("ratios outside the clip range", "fraction", "tokens"),
    "loss": ("weighted loss", "", "the rule's own denominator"),
}


@dataclass(frozen=True)
class FigureSpec:
    """One panel: the metric (a column of metrics), what it scores and in which unit, the mean's denominator, the
    attention layer and alignment (None where neither enters), the seeds n, and the trailing mean in steps."""

    metric: str
    score: str
    unit: str
    denominator: str
    layer: str | None
    alignment: str | None
    n: int
    smooth: int = 1

    @property
    def y_label(self) -> str:
        return f"{self.score} [{self.unit}]" if self.unit else self.score

    @property
    def caption(self) -> str:
        """One sentence that names everything that the panel depends on."""
        parts = [f"{self.score}, mean over {self.denominator} of a step"]
        if self.layer is not None:
            parts.append(f"layer {self.layer}, alignment {self.alignment}")
        drawn = "line" if self.smooth == 1 else f"trailing mean of {self.smooth} steps"
        parts.append(f"{drawn}: mean of n = {self.n} seed{'s' if self.n > 1 else ''}")
        if self.n > 1:
            parts.append("band: lowest to highest seed")
        return f"{self.metric}: {'; '.join(parts)}."


def training_curve(metric: str, n: int, layer: str, alignment: str, smooth: int = 1) -> FigureSpec:
    """The spec of one metric over training steps."""
    score, unit, denominator = METRICS[metric]
    at = (layer, alignment) if metric == "attention_entropy" else (None, None)
    return FigureSpec(metric, score, unit, denominator, *at, n, smooth)


# What two layers are compared in -> the measure, and the tokens or scores that it is taken of.
AGREEMENT = {
    "anchors": ("Jaccard index", "the tokens of a response with the lowest"),
    "explorers": ("Jaccard index", "the tokens of a response with the highest"),
    "ranks": ("Spearman's rank correlation", "a response's"),
}
LAYER_SCORES = {"entropy_norm": METRICS["attention_entropy"][0], "entropy_raw": "attention entropy in nats"}


@dataclass(frozen=True)
class AgreementSpec:
    """One heat map, layer by layer: what is compared, the score (a column of attention) and its alignment, the
    fraction p of a mask, the responses and tokens, and what two random masks have (the last None for ranks).

    `responses` are the fewest and the most that a pair has: a rank correlation needs both scores to vary."""

    compared: str
    score: str
    alignment: str
    p: float
    responses: tuple[int, int]
    tokens: int
    random: float | None

    @property
    def title(self) -> str:
        return f"{self.compared}: {AGREEMENT[self.compared][0]}"

    @property
    def axis_label(self) -> str:
        return "layer, and predictive entropy last"

    @property
    def caption(self) -> str:
        """One sentence that names everything that the panel depends on."""
        measure, of = AGREEMENT[self.compared]
        fewest, most = self.responses
        n = f"n = {most}" if fewest == most else f"n = {fewest} to {most}"
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
                f"two random masks of that size: {self.random:.3f} (white mark)",
            ]
        parts.append(
            f"{self.tokens} tokens; alignment {self.alignment}; last row and column: predictive entropy instead"
        )
        return f"{self.compared}: {'; '.join(parts)}."
