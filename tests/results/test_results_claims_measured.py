"""Claims that other results decide, on made-up rows of their CSVs: planted effects, their opposites, and too little."""

from typing import Any

import numpy as np
import pytest
from claims_kit import said

from tokenspectrum.results.claims.facts import Facts
from tokenspectrum.results.claims.result import DECIDE

SUBSETS = ("random20", "anchor20", "explorer20")
# Cosine at step s, norm ratio (selected), and the online deviation of the cosine, of each subset.
TRUE = {
    "random20": (lambda s: 0.9, 1.1, 0.01),
    "anchor20": (lambda s: 0.7 - 0.02 * s, 0.8, 0.3),
    "explorer20": (lambda s: 0.3, 3.0, 0.1),
}
FALSE = TRUE | {"anchor20": (lambda s: 0.95, 0.8, 0.01), "random20": (lambda s: 0.6, 1.1, 0.2)}


def geometry(of: dict[str, Any], noise=0.005, replicates=4, steps=5, run="full") -> Facts:
    rng, rows = np.random.default_rng(0), []
    for replicate in range(replicates):
        head = {"run": run, "base": replicate, "seed": replicate if run == "full" else None}
        for step in range(1, steps + 1):
            for subset, (cosine, norm, deviation) in of.items():
                for denominator in ("all", "selected"):
                    values = {"cosine": cosine(step), "norm_ratio": norm, "online_std": deviation if step > 1 else None}
                    noisy = {k: v if v is None else v + rng.normal(0, noise) for k, v in values.items()}
                    rows.append(head | {"step": step, "subset": subset, "denominator": denominator} | noisy)
    return Facts({"geometry": rows})


@pytest.mark.parametrize("claim", ["A10", "A12"])
def test_geometry(claim):
    assert said(claim, geometry(TRUE)) == "holds"
    assert said(claim, geometry(FALSE)) == "fails"
    assert said(claim, geometry(TRUE, noise=5)) == "undecided"
    assert said(claim, geometry(TRUE, replicates=1)) == "undecided"


def test_a_base_policys_probe_has_no_slope():
    """One step: the orderings are known over base policies, the slope is not."""
    facts = geometry(TRUE, steps=1, run="base")
    assert said("A10", facts) == "undecided"
    found = DECIDE["A10"](facts)
    assert (found.of, found.note) == ("base policies", "fewer than 3 probe steps of full")


@pytest.mark.parametrize(("steps", "verdict"), [(1, "undecided"), (2, "undecided"), (3, "holds")])
def test_a_spread_over_too_few_steps_decides_nothing(steps, verdict):
    """Three steps were probed; where anchors' cosine is known at fewer, the spread is of fewer."""
    for facts in (geometry(TRUE, steps=steps), geometry(TRUE, steps=3)):
        rows = [
            dict(row) | {"cosine": None} if row["subset"] == "anchor20" and row["step"] > steps else row
            for row in facts.tables["geometry"]
        ]
        assert said("A12", Facts({"geometry": rows})) == verdict
        assert (DECIDE["A10"](Facts({"geometry": rows})).p_for is None) == (steps < 3)
    assert said("A12", geometry(FALSE, steps=2)) == "undecided"
    assert DECIDE["A12"](geometry(TRUE, steps=2)).note == "fewer than 3 probe steps of full"


def deciles(shares, replicates=4, noise=0.01) -> Facts:
    """shares[step] = (D0-2, D3-6, D7-9)."""
    rng, rows = np.random.default_rng(0), []
    for replicate in range(replicates):
        for step, of in enumerate(shares, 1):
            noisy = np.array(of) + rng.normal(0, noise, 3)
            ranks = (-noisy).argsort().argsort() + 1
            for band, share, rank in zip(("D0-2", "D3-6", "D7-9"), noisy, ranks, strict=True):
                head = {"run": "full", "base": replicate, "seed": replicate, "step": step, "band": band}
                rows.append(head | {"proj_ratio": float(share), "rank": int(rank)})
    return Facts({"deciles": rows})


MOVING = [(0.5, 0.3, 0.2), (0.2, 0.5, 0.3), (0.3, 0.2, 0.5), (0.4, 0.35, 0.25)]


def test_update_is_spread_and_moves():
    assert said("A11", deciles(MOVING)) == "holds"
    assert said("A11", deciles([(0.8, 0.15, 0.05)] * 4)) == "fails"  # one band, always
    assert said("A11", deciles([(0.5, 0.3, 0.2)] * 4)) == "fails"  # spread, and the bands keep their ranks
    assert said("A11", deciles(MOVING, replicates=1)) == "undecided"
    assert said("A11", deciles(MOVING[:1])) == "undecided"


def estimability(ratio, noise, replicates=6, run="full", steps=(1, 8, 15)) -> Facts:
    """Rows of one run: a base policy and a seed each replicate, whose steps differ by the noise alone."""
    rng = np.random.default_rng(0)
    rows = [
        {"run": run, "base": b, "seed": None if run == "base" else b, "step": s, "estimator": e, "p": p}
        | {"ratio": ratio + rng.normal(0, noise)}
        for b in range(replicates)
        for s in steps
        for e in ("expected", "selected")
        for p in (0.1, 0.5)
    ]
    return Facts({"estimability": rows})


@pytest.mark.parametrize(
    ("ratio", "noise", "replicates", "verdict"),
    [(1.0, 0.02, 6, "holds"), (1.5, 0.02, 6, "fails"), (1.05, 1.0, 6, "undecided"), (1.0, 0.02, 1, "undecided")],
)
def test_error_is_predicted(ratio, noise, replicates, verdict):
    facts = estimability(ratio, noise, replicates)
    assert said("A18", facts) == verdict
    found = DECIDE["A18"](facts)
    assert (found.n, found.of, found.bases) == (replicates, "replicates", replicates)


def test_no_other_run_and_no_other_step_is_a_replicate_of_the_error():
    """Methods share the batch of step 1, and steps share a run: of 3 replicates there are 3 values, each a mean."""
    full = estimability(1.0, 0.1, replicates=3)
    rows = [
        dict(row) | {"run": run, "seed": None if run == "base" else row["seed"]}
        for run in ("base", "full", "anchor20")
        for row in full.tables["estimability"]
    ]
    found, alone = DECIDE["A18"](Facts({"estimability": rows})), DECIDE["A18"](full)
    assert found == alone
    means = [
        np.mean([row["ratio"] for row in full.rows("estimability", base=base, estimator=found.part.split(":")[0])])
        for base in range(3)
    ]
    assert found.value == pytest.approx(np.mean(means) - 1)
    assert found.spread == pytest.approx(np.std(means, ddof=1))
    probes = DECIDE["A18"](estimability(1.0, 0.02, 4, run="base", steps=(0,)))
    assert (probes.n, probes.of, probes.bases, probes.note) == (4, "base policies", 4, "")


def test_a_ratio_that_no_gradient_gives_is_left_out():
    rows = [
        dict(row) | {"ratio": None if row["base"] == 2 else row["ratio"]}
        for row in estimability(1.0, 0.02).tables["estimability"]
    ]
    assert DECIDE["A18"](Facts({"estimability": rows})).n == 5


def dynamics(end, sd=0.01, n=3) -> Facts:
    rows = [
        {"method": "full", "score": score, "group": "kept", "step": step, "mean": mean, "sd": sd, "n": n, "bases": n}
        for score in ("entropy_norm", "entropy_raw", "entropy_topk", "entropy_fixed")
        for step, mean in ((1, 0.2), (40, end - 0.2))
    ]
    return Facts({"dynamics": rows})


def test_separation_survives():
    assert said("A9", dynamics(0.35)) == "holds"
    assert said("A9", dynamics(0.05)) == "fails"
    assert said("A9", dynamics(0.21)) == "undecided"
    assert said("A9", dynamics(0.35, sd=None, n=1)) == "undecided"


def overlap(mean, sd=2.0, n=3, others=40.0, bases=3) -> Facts:
    head = {"what": "overlap", "bases": bases, "chance": 20.0}
    rows = [head | {"method": "base", "step": 0, "mean": others, "sd": 1.0, "n": 6}]
    rows += [
        head | {"method": "full", "step": step, "mean": m, "sd": sd, "n": n} for step, m in ((8, 95.0), (24, mean))
    ]
    return Facts({"overlap": rows})


def test_pattern_is_kept():
    assert said("F3", overlap(85.0)) == "holds"
    assert said("F3", overlap(25.0)) == "fails"  # above chance, below what base policies share
    assert said("F3", overlap(43.0, sd=10.0)) == "undecided"
    assert said("F3", overlap(85.0, sd=None, n=1)) == "undecided"
    assert said("F3", overlap(85.0, bases=2)) == "undecided"  # one pair of policies has no spread


@pytest.mark.parametrize(("bases", "n"), [(3, 3), (3, 8), (5, 5)])
def test_a_pattern_that_is_no_more_full_s_than_another_policy_s_is_rarely_called_kept(bases, n):
    """What policies share is itself measured on few pairs, each counted both ways round."""
    draw, held, times = np.random.default_rng(0), 0, 400
    head = {"what": "overlap", "bases": bases, "chance": 20.0}
    for _ in range(times):
        pairs, full = np.repeat(draw.normal(80, 2, bases * (bases - 1) // 2), 2), draw.normal(80, 2, n)
        rows = [
            head | {"method": name, "step": step, "mean": of.mean(), "sd": of.std(ddof=1), "n": len(of)}
            for name, step, of in (("base", 0, pairs), ("full", 9, full))
        ]
        held += DECIDE["F3"](Facts({"overlap": rows})).p_for < 0.05
    assert held / times < 0.05 + 2 * (0.05 * 0.95 / times) ** 0.5


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [(0.2, 0.05, "holds"), (-0.2, 0.05, "fails"), (0.02, 0.05, "undecided"), (0.2, None, "undecided")],
)
def test_forks_change_most(value, half, verdict):
    ends = {"absolute_ci_low": half and value - half, "absolute_ci_high": half and value + half}
    row = {"what": "contrast", "method": "full", "step": 24, "absolute": value, "n": 3, "bases": 3} | ends
    assert said("F4", Facts({"overlap": [row]})) == verdict


@pytest.mark.parametrize(("large", "verdict"), [(3.0, "holds"), (-3.0, "fails"), (0.1, "undecided")])
def test_advantage_grows_with_size(large, verdict):
    head = {"metric": "Avg", "method": "pred_high20", "difference_sd": 0.5, "n": 4, "bases": 1}
    rows = [head | {"weights": w, "difference": d} for w, d in ((10, large), (5, 9.0), (1, 0.0))]
    assert said("F6", Facts({"scaling": rows})) == verdict
    assert said("F6", Facts({"scaling": rows[:1]})) == "undecided"


def transfer(*differences) -> Facts:
    size = {"n": 3, "bases": 1}
    size |= {"metric": "Avg", "method": "low2high_mid"}
    rows = [{"policy": i, "difference": d, "ci_low": d - 1, "ci_high": d + 1} | size for i, d in enumerate(differences)]
    rows.append({"policy": 0, "metric": "hardest", "method": "low2high_mid"})
    return Facts({"transfer": rows})


def test_gain_transfers_to_every_policy():
    assert said("A19", transfer(3.0, 2.0)) == "holds"
    assert said("A19", transfer(3.0, -2.0)) == "fails"
    assert said("A19", transfer(3.0, 0.5)) == "undecided"
    assert said("A19", transfer(3.0)) == "undecided"


def isolation(values, half=0.02) -> Facts:
    """values[base] = (partial correlation, residual gap)."""
    rows = [
        {
            "base": base,
            "layer": 0,
            "measure": "share",
            "what": what,
            "value": v,
            "ci_low": v - half,
            "ci_high": v + half,
        }
        | {"responses": 60}
        for base, pair in values.items()
        for what, v in zip(("partial Pearson", "residual gap"), pair, strict=True)
    ]
    return Facts({"isolation": rows})


def test_asymmetry_survives():
    assert said("R1", isolation({1: (0.2, 0.5), 2: (0.3, 0.6)})) == "holds"
    assert said("R1", isolation({1: (0.2, 0.5), 2: (0.0, 0.6)})) == "fails"  # none within 0.05 on one base policy
    assert said("R1", isolation({1: (0.2, 0.5), 2: (0.1, 0.6)}, half=0.12)) == "undecided"
    turned = DECIDE["R1"](isolation({1: (0.2, 0.5), 2: (-0.3, 0.6)}))
    assert turned.note == "its sign differs between base policies"
    rows = isolation({1: (0.2, 0.5), 2: (0.3, 0.6)}).tables["isolation"]
    unknown = [row | {"value": None, "ci_low": None, "ci_high": None} if row["base"] == 2 else row for row in rows]
    assert "sign" not in DECIDE["R1"](Facts({"isolation": unknown})).note  # nothing is known of base 2


@pytest.mark.parametrize(
    ("values", "verdict"), [((0.02, 0.5), "fails"), ((0.2, 0.05), "fails"), ((0.08, 0.5), "holds")]
)
def test_an_asymmetry_within_its_margin_counts_as_none_however_sure_it_is(values, verdict):
    """Of many tokens any correlation is off 0."""
    assert said("R1", isolation({1: values, 2: (0.3, 0.6)}, half=0.01)) == verdict


def test_a_base_policy_without_a_gradient_leaves_the_asymmetry_open():
    """Its tokens are in no row; rows of its controls may be there, or none at all."""
    rows = isolation({1: (0.2, 0.5), 2: (0.3, 0.6)}).tables["isolation"]
    controls = [row | {"base": 3, "measure": "cosine", "what": "control"} for row in rows]
    runs = [{"base": base} for base in (1, 2, 3)]
    for tables in ({"isolation": [*rows, *controls]}, {"isolation": rows, "accuracy": runs}):
        assert said("R1", Facts(tables)) == "undecided"
        assert DECIDE["R1"](Facts(tables)).note == "no token of base 3 has an advantage"
    turned = isolation({1: (0.2, 0.5), 2: (-0.3, 0.6)}).tables["isolation"]
    assert DECIDE["R1"](Facts({"isolation": turned, "accuracy": runs})).note.startswith("its sign differs")
    tiny = isolation({1: (0.0, 0.5), 2: (0.3, 0.6)}).tables["isolation"]
    assert said("R1", Facts({"isolation": tiny, "accuracy": runs})) == "fails"  # one base policy is enough


def forktemp(hot, cold, half=1.0, temperatures=(0.5, 1.0, 1.5)) -> Facts:
    rows = [
        {"base": base, "heated": heated, "temperature": t, "problems": 100, "accuracy": value}
        | {"ci_low": value - half, "ci_high": value + half}
        for base in (1, 2)
        for heated in ("forks", "others", "forks less others")
        for t, value in zip((0.5, 1.0, 1.5), (cold, 0.0, hot), strict=True)
        if t in temperatures
    ]
    return Facts({"forktemp": rows})


def test_heat_belongs_to_forks():
    assert said("F2", forktemp(3.0, -3.0)) == "holds"
    assert said("F2", forktemp(-3.0, -3.0)) == "fails"
    assert said("F2", forktemp(0.5, -3.0)) == "undecided"
    assert "lacks T' = 1.5 or 0.5" in DECIDE["F2"](forktemp(3.0, -3.0, temperatures=(0.5, 1.0))).note


def lenses(excess, half=0.05) -> Facts:
    names = ("attention", "predictive", "variance")
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    rows = [
        {"base": 1, "one": a, "other": b, "responses": 30, "excess": e}
        | {"excess_low": None if e is None else e - half, "excess_high": None if e is None else e + half}
        for (a, b), e in zip(pairs, excess, strict=True)
    ]
    return Facts({"lenses": rows})


def test_lenses_agree():
    assert said("N1", lenses((0.3, 0.2, 0.4))) == "holds"
    assert said("N1", lenses((0.3, -0.15, 0.4))) == "fails"
    assert said("N1", lenses((0.3, 0.02, 0.4))) == "undecided"
    assert said("N1", lenses((0.3, None, 0.4))) == "undecided"


def test_shuffled_subsets_hold_nothing():
    """200 tables whose subsets' labels were dealt out anew in each replicate."""
    rng, held = np.random.default_rng(0), dict.fromkeys(("A10", "A12"), 0)
    facts = geometry(TRUE, noise=0.02, replicates=3, steps=3)
    for _ in range(200):
        rows = []
        for replicate in range(3):
            new = dict(zip(SUBSETS, rng.permutation(SUBSETS), strict=True))
            rows += [dict(r) | {"subset": new[r["subset"]]} for r in facts.rows("geometry", base=replicate)]
        for claim in held:
            held[claim] += said(claim, Facts({"geometry": rows})) == "holds"
    assert max(held.values()) <= 10
