"""Which tenth of the attention scores carries the update.

The tokens of a response are parted into ten by one stable sort of their score: D0 the lowest, D9 the highest.  The
proj ratio of a decile is <g_S, g> / |g|^2 under the denominator of all tokens, so the ten sum to 1.  The bands D0-2,
D3-6 and D7-9 are sums of them.
"""

from tokenspectrum.results.declare import Column, Result

RESULT = Result(
    __name__,
    title="update by decile of the attention score",
    question="Does the update come from one band of attention entropy, and does that band stay the same?",
    reads=("gradients", "run_gradients"),
    columns=(
        Column("run", str, "base: the base policy on its probe; or the method that was trained"),
        Column("base", int, "base policy"),
        Column("seed", int, "training seed; empty for the base policy itself"),
        Column("step", int, "0: the probe of the base policy; s: the batch of update s"),
        Column("layer", int, "layer of the score"),
        Column("band", str, "D0 to D9, and D0-2, D3-6, D7-9"),
        Column("tokens", float, "its share of the tokens, percent"),
        Column("proj_ratio", float, "<g_S, g> / |g|^2; the ten deciles sum to 1, and so do the three bands"),
        Column("rank", int, "place among the deciles, or among the bands; 1 has the largest proj ratio"),
    ),
    figure=True,
    resources={"mem_mb": 4000, "runtime": 30},
    overturned="One band with more than .6 of the update at every step.",
)
