"""Claims of the FORKING paper, the referee and the note that other results decide.  Imports nothing heavy."""

from tokenspectrum.results.claims.claim import FORKING, REVIEW, Claim

OTHERS = (
    Claim(
        "F1",
        FORKING,
        "fig 2",
        "Most tokens are near certain, and a minority are forks.",
        "share of the probe's tokens with a predictive entropy below 0.01 nats",
        "above 0.5 on every base policy: its interval over responses lies above",
        "forking",
        results=("pattern",),
    ),
    Claim(
        "F3",
        FORKING,
        "table 1",
        "Training keeps the base policy's pattern of entropy.",
        "percent of the base policy's top fifth by predictive entropy that is in full's at its last step",
        "above chance, and above what two base policies share",
        "forking",
        results=("overlap",),
    ),
    Claim(
        "F4",
        FORKING,
        "fig 5",
        "Training changes the tokens of high entropy most.",
        "absolute change of predictive entropy by full's last step, top fifth less the other four, nats",
        "above 0",
        "forking",
        results=("overlap",),
    ),
    Claim(
        "F6",
        FORKING,
        "scaling",
        "The advantage of the forks grows with the policy's size.",
        "pred_high20 less full in Avg on the larger policy, less the same on the smaller, points",
        "above 0",
        "forking",
        results=("scaling",),
    ),
    Claim(
        "R1",
        REVIEW,
        "isolation",
        "The gradient asymmetry is left when position, predictive entropy and loss are taken out.",
        "partial correlation of attention entropy with a token's share of the update; residual gap of anchors",
        "both are off 0 on every base policy; none is within 0.05 (correlation) or 0.1 (gap)",
        "referee",
        results=("isolation",),
    ),
)
