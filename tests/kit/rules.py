"""A rule of each way to weigh: hard and ranked, soft, and none at all."""

from tokenspectrum.weighting.registry import make_rule

ANCHOR = make_rule(
    kind="anchor",
    denominator="selected",
    p=0.3,
    score="entropy_norm",
    layer=1,
    alignment="decision",
    scope="response",
    entropy_of="old",
)
LOW2HIGH = make_rule(
    kind="low2high",
    denominator="all",
    score="entropy_norm",
    layer=0,
    alignment="decision",
    tau=0.3,
    w_low=(1.0, 0.0),
    w_high=(0.0, 1.0),
    s_warm=3,
    eps_mode="exact",
)
UNIFORM = make_rule(kind="uniform", denominator="all")
