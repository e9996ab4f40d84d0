"""How the gradient of a subset of tokens lies to that of all tokens, on each base policy and at probe steps of runs.

With g_S = sum over the subset of w_t g_t / D and g the mean of all g_t: norm ratio |g_S| / |g|, cosine of g_S and g,
and proj ratio <g_S, g> / |g|^2.  D is the number of all tokens (`all`) or the sum of the subset's weights (`selected`);
the cosine is the same under both.

The online mean, standard deviation and coefficient of variation of the cosine are over a run's probe steps so far.
"""

from tokenspectrum.results.declare import Column, Result

RESULT = Result(
    __name__,
    title="gradient geometry of subsets",
    question="Does a subset of the tokens point where all tokens point, and how long is its gradient?",
    reads=("gradients", "run_gradients"),
    columns=(
        Column("run", str, "base: the base policy on its probe; or the method that was trained"),
        Column("base", int, "base policy"),
        Column("seed", int, "training seed; empty for the base policy itself"),
        Column("step", int, "0: the probe of the base policy; s: the batch of update s"),
        Column("subset", str, "full, or a name of gradients.subsets or gradients.matched"),
        Column("denominator", str, "all: the number of all tokens; selected: the sum of the subset's weights"),
        Column("layer", int, "layer that ranked the tokens; empty if none did"),
        Column("tokens", int, "tokens with a weight above 0"),
        Column("norm_ratio", float, "|g_S| / |g|"),
        Column("cosine", float, "cosine of g_S and g"),
        Column("proj_ratio", float, "<g_S, g> / |g|^2"),
        Column("probes", int, "probe steps of this run so far"),
        Column("online_mean", float, "mean of the cosine over them"),
        Column("online_std", float, "its standard deviation; empty at the first"),
        Column("online_cv", float, "standard deviation over the absolute mean"),
    ),
    figure=True,
    resources={"mem_mb": 4000, "runtime": 30},
    overturned="Subsets whose cosine is that of random tokens.",
)
