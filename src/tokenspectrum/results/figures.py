"""The words of figures: labels and captions follow from a spec.  Knows no numbers and draws nothing."""

from dataclasses import dataclass

# Column of the table metrics -> what it measures, its unit, and what the mean of a step is taken over.
METRICS = {
    "reward": ("reward, overlong penalty included", "", "responses"),
    "accuracy": ("accuracy", "fraction", "responses"),
    "length": ("response length", "tokens", "responses"),
    "predictive_entropy": ("predictive entropy", "nats", "tokens"),
    "attention_entropy": ("attention entropy / ln(visible)", "", "tokens"),
    "kept_fraction": ("tokens with positive weight", "fraction", "tokens"),
    "clip_fraction": ("ratios outside the clip range", "fraction", "tokens"),
    "sampling_k3": ("KL of the trainer from the sampler (k3)", "nats", "tokens"),
    "grad_norm": ("gradient norm before clipping", "", "mini-batches that stepped"),
    "loss": ("weighted loss", "", "the rule's own denominator"),
}


@dataclass(frozen=True)
class FigureSpec:
    """What one panel of lines shows."""

    metric: str  # a column of the table metrics
    score: str  # what that column measures, in words
    unit: str
    denominator: str  # what the mean of a step is taken over
    layer: str | None  # of attention, None where it does not enter; alignment likewise
    alignment: str | None
    n: int  # replicates
    smooth: int = 1  # steps of the trailing mean
    over: str = "a step"  # what the mean of one point is within

    @property
    def y_label(self) -> str:
        return f"{self.score} [{self.unit}]" if self.unit else self.score

    @property
    def caption(self) -> str:
        """One sentence that names everything that the panel depends on."""
        parts = [f"{self.score}, mean over {self.denominator} of {self.over}"]
        if self.layer is not None:
            parts.append(f"layer {self.layer}, alignment {self.alignment}")
        drawn = "line" if self.smooth == 1 else f"trailing mean of {self.smooth} steps"
        parts.append(f"{drawn}: mean of n = {self.n} replicate{'s' if self.n > 1 else ''}")
        if self.n > 1:
            parts.append("band: lowest to highest replicate")
        return f"{self.metric}: {'; '.join(parts)}."


def held_out_curve(metric: str, benchmarks: str, n: int) -> FigureSpec:
    """The spec of one measure of accuracy over evaluated checkpoints; step 0 is the base policy."""
    named = {"Avg": "Avg", "hardest": "the hardest benchmark", "without_hardest": "Avg without the hardest benchmark"}
    score = f"held-out accuracy, {named.get(metric, metric)}"
    within = f"samples, problems and {benchmarks}" if metric in named else "samples and problems"
    return FigureSpec(metric, score, "percent", within, None, None, n, over="a checkpoint; step 0 is the base policy")


def training_curve(metric: str, n: int, layer: str, alignment: str, smooth: int = 1) -> FigureSpec:
    """The spec of one metric over training steps."""
    score, unit, denominator = METRICS[metric]
    at = (layer, alignment) if metric == "attention_entropy" else (None, None)
    return FigureSpec(metric, score, unit, denominator, *at, n, smooth)
