"""Which tokens carry the update of a base policy, what that predicts, and what training on them then gave.

Shares are exact.  The probe's gradient g is the mean of its tokens' gradients g_t = -A_t grad log pi(y_t).  The share
of a group of tokens is its ProjRatio, sum <g_t, g> / (N |g|^2), so the shares of a partition sum to 100 %.  Likewise
the share of accuracy is sum <g_t, h> / (N <g, h>), where h is the gradient of accuracy on the other half of the
prompts.

A row of a subset says how far a step against its gradient alone raises accuracy, to first order: `gain` is that of a
step of a given length, in percent of what the same length gives along the gradient of all tokens.  All of this is known
before anything is trained.  The last columns say what training on the subset then gave on the same base policy, at the
last evaluated step.

A gain is in percent of another one.  Where that one is small, the percentage is large and says little: read `trained`
in points beside it.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from tokenspectrum.results.declare import Column, Result


class DecilesAsked(BaseModel):
    """`gradients.deciles`, as far as this result reads it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    score: str


class GradientsAsked(BaseModel):
    """`gradients`, as far as this result reads it: the stage has checked the rules, and their code is in its key."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    subsets: dict[str, dict[str, Any]]
    deciles: DecilesAsked

    def denominator(self, name: str) -> str:
        """That of a subset's rule; of a control, that of the rule in `of`; all, where the rule has no choice."""
        rule = self.subsets.get(name, {})
        return rule.get("denominator") or rule.get("of", {}).get("denominator", "all")


RESULT = Result(
    __name__,
    title="the tokens that teach",
    question="Which tokens carry the update, and does that say what training on them alone will give?",
    reads=("attention", "evaluate", "evaluate_base", "gradients", "tokens", "vocab"),
    columns=(
        Column("base", int, "base policy"),
        Column("kind", str, "type, position, attention decile, predictive decile, or subset"),
        Column("group", str, "the group of tokens; a subset has the name of the method that trains on it"),
        Column("tokens", float, "its share of the tokens, percent"),
        Column("update", float, "its share of the update, percent: ProjRatio under the denominator all"),
        Column("accuracy", float, "its share of the first-order change of accuracy, percent"),
        Column("norm_ratio", float, "of a subset: |g_S| / |g| under its rule's denominator"),
        Column("cosine", float, "of a subset: cosine of g_S and g"),
        Column(
            "gain",
            float,
            "of a subset: predicted gain of a step of given length, percent of that along the gradient of all tokens;"
            " empty if all tokens' is a loss",
        ),
        Column("trained", float, "Avg after training on it less Avg of the base policy, points; empty if untrained"),
        Column(
            "trained_gain",
            float,
            "the same in percent of what full-token training gave; empty if that gave a loss",
        ),
        Column("n", int, "replicates of that"),
    ),
    others={"gradients": GradientsAsked},
    resources={"mem_mb": 8000, "runtime": 30},
    local=False,
    overturned="A gain that does not rank the methods as training did.",
)
