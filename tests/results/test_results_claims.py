"""Every claim's decision on made-up tables: what is planted is found, noise and shuffled labels hold nothing."""

import gc

import numpy as np
import pytest
from claims_kit import FULL, explorers, runs, said, shuffled, support

from tokenspectrum.results.claims.declared import CLAIMS
from tokenspectrum.results.claims.facts import Facts, less
from tokenspectrum.results.claims.judge import TURNS, above
from tokenspectrum.results.claims.result import DECIDE

LOW2HIGH = ("low2high_shallow", "low2high_mid", "low2high_deep")
BETTER, WORSE, LOW = (85.0, 55.0), (75.0, 45.0), (60.0, 30.0)
# Claim -> accuracies (easy, hard) under which it is true, and under which it is false.
PLANTED = {
    "A1": ({"random20": FULL}, {"random20": (70.0, 40.0)}),
    "A2": ({"anchor20": (80.0, 40.0)}, {"anchor20": (80.0, 60.0)}),
    "A5": (
        {"front20": LOW, "back20": (70.0, 40.0), "anchor20": WORSE, "explorer20": BETTER},
        {"front20": LOW, "back20": (70.0, 40.0), "anchor20": WORSE, "explorer20": LOW},
    ),
    "A13": (dict.fromkeys(LOW2HIGH, BETTER), dict.fromkeys(LOW2HIGH, BETTER) | {"low2high_deep": WORSE}),
    "A14": ({"pred_high20": (85.0, 45.0)}, {"pred_high20": (75.0, 45.0)}),
    "A15": (
        {"low2high_mid": BETTER, "high2low_mid": FULL, "static_anchor_mid": FULL, "static_explorer_mid": FULL},
        {"low2high_mid": FULL, "high2low_mid": BETTER, "static_anchor_mid": LOW, "static_explorer_mid": LOW},
    ),
    "A16": (
        {"anchor20": WORSE, "explorer20": LOW, "anchor20_all": FULL, "explorer20_all": WORSE},
        {"anchor20": WORSE, "explorer20": LOW, "anchor20_all": WORSE, "explorer20_all": FULL},
    ),
    "A17": (
        {"pred_low20": LOW, "loss_low20": LOW, "pred_high20": FULL, "loss_high20": FULL},
        {"pred_low20": LOW, "loss_low20": LOW, "pred_high20": FULL, "loss_high20": LOW},
    ),
    "F5": ({"pred_high20": FULL, "pred_low80": LOW}, {"pred_high20": FULL, "pred_low80": FULL}),
    "R2": (
        {"low2high_mid": BETTER, "low2high_shuffled": FULL, "low2high_equal_mean": FULL},
        {"low2high_mid": BETTER, "low2high_shuffled": FULL, "low2high_equal_mean": (90.0, 60.0)},
    ),
}


@pytest.fixture(autouse=True, scope="module")
def _quick():
    """statsmodels' Holm collects garbage at each call: what is there already is left out of that."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("claim", PLANTED)
def test_what_is_planted_is_found(claim):
    true, false = PLANTED[claim]
    assert said(claim, runs(true)) == "holds"
    assert said(claim, runs(false)) == "fails"


@pytest.mark.parametrize(("less", "verdict"), [(0.5, "fails"), (5.0, "holds")])
def test_methods_within_a_point_are_alike_however_sure_their_difference_is(less, verdict):
    means = {"front20": LOW, "back20": (70.0, 40.0), "anchor20": (70.0 - less, 40.0 - less), "explorer20": BETTER}
    assert said("A5", runs(means, noise=0.01)) == verdict


@pytest.mark.parametrize("claim", PLANTED)
def test_noise_decides_nothing(claim):
    """The same effect under a noise many times as large, and no verdict that needs spread of a single replicate."""
    assert said(claim, runs(PLANTED[claim][0], noise=60)) == "undecided"
    for means in PLANTED[claim]:
        assert said(claim, runs(means, n=1)) == "undecided"


@pytest.mark.parametrize("claim", sorted(set(PLANTED) - {"A1"}))
def test_shuffled_labels_hold_no_more_often_than_alpha(claim):
    """200 tables whose labels were dealt out anew: a claim of a difference holds in at most 5 % of them."""
    rng = np.random.default_rng(0)
    facts = runs(PLANTED[claim][0], noise=2)
    assert sum(said(claim, shuffled(facts, rng)) == "holds" for _ in range(200)) <= 0.05 * 200


@pytest.mark.parametrize(("collapsed", "verdict"), [(8, "holds"), (0, "fails"), (4, "undecided")])
def test_explorers_are_unstable_if_most_seeds_collapse(collapsed, verdict):
    assert said("A3", explorers(5.0, collapsed)) == verdict


def test_one_collapsed_seed_is_enough_against_stable_anchors():
    assert said("A2", runs({"anchor20": (80.0, 40.0)}, collapsed={"anchor20": 1})) == "fails"


def test_survivors_alone_are_compared():
    """The collapsed seeds are the worst: with them the difference would be below 0."""
    assert said("A4", explorers(10.0, 5)) == "holds"
    assert DECIDE["A4"](explorers(10.0, 5)).n == 3
    assert said("A4", explorers(-10.0, 0)) == "fails"
    assert said("A4", explorers(10.0, 0, noise=60, seed=1)) == "undecided"
    assert said("A4", explorers(10.0, 7)) == "undecided"
    assert DECIDE["A4"](explorers(10.0, 7)).note.startswith("1 survived")


def test_survivors_that_differ_by_chance_hold_no_more_often_than_alpha():
    """Labels dealt out anew between a survivor and its full-token run: the difference has either sign."""
    rng = np.random.default_rng(0)
    facts, held = explorers(10.0, 2, noise=3), 0
    for _ in range(200):
        turned = [dict(r) | {"difference": r["difference"] * rng.choice((-1, 1))} for r in facts.tables["explorers"]]
        held += said("A4", Facts({"explorers": turned})) == "holds"
    assert held <= 10


def test_a_sign_that_turns_between_base_policies_is_told():
    facts = runs({"anchor20": (83.0, 53.0)}, n=4, noise=0.1)
    turned = [
        row | {"accuracy": row["accuracy"] + (5 if row["base"] <= 2 else -8)} if row["method"] == "anchor20" else row
        for row in facts.tables["accuracy"]
    ]
    for method, rows, note in (("same", facts.tables["accuracy"], ""), ("turned", turned, TURNS)):
        found = above(less(Facts(dict(facts.tables) | {"accuracy": rows}), "anchor20", "full"), -10.0)
        assert found.note == note, method


def test_a_share_of_no_gain_is_not_told():
    found = DECIDE["A1"](runs({"full": (40.0, 10.0), "random20": (80.0, 50.0)}))
    assert (found.p_for, found.p_against) == (None, None)
    assert "gained nothing" in found.note


def scatter(r: float, half: float, bases=(1, 2)) -> Facts:
    rows = [
        {"base": base, "layer": 0, "what": what, "r": r, "ci_low": r - half, "ci_high": r + half, "responses": 50}
        for base in bases
        for what in ("Pearson", "Spearman")
    ]
    return Facts({"scatter": rows})


@pytest.mark.parametrize(
    ("r", "half", "verdict"),
    [
        (0.1, 0.05, "holds"),
        (-0.1, 0.05, "holds"),
        (0.6, 0.05, "fails"),
        (-0.6, 0.05, "fails"),
        (0.25, 0.2, "undecided"),
    ],
)
def test_entropies_are_unrelated_if_their_interval_is_near_zero(r, half, verdict):
    assert said("A6", scatter(r, half)) == verdict


def test_one_base_policy_with_a_high_correlation_is_enough_against_it():
    rows = [*scatter(0.0, 0.05, (1,)).tables["scatter"], *scatter(0.7, 0.05, (2,)).tables["scatter"]]
    assert said("A6", Facts({"scatter": rows})) == "fails"


ALL = dict.fromkeys(("normalised", "raw", "first n", "top-k"), 1.0)


def test_anchors_need_fewer_positions_under_each_score():
    assert said("A7", support(ALL)) == "holds"
    assert said("A7", support(ALL | {"raw": -1.0})) == "fails"
    assert said("A7", support(ALL | {"raw": 0.01})) == "undecided"
    assert said("A7", support(dict.fromkeys(ALL, 0.0))) == "undecided"


def test_span_is_not_the_axis_if_its_gap_changes_sign_between_scores():
    both = {"distance by normalised": 1.0, "distance by raw": -1.0}
    assert said("A8", support(ALL | both)) == "holds"
    same = {f"distance by {score}": 1.0 for score in ALL}
    assert said("A8", support(ALL | same)) == "fails"
    assert said("A8", support(ALL | {"distance by raw": 1.0})) == "undecided"


@pytest.mark.parametrize("claim", ["A7", "A8"])
def test_a_claim_on_four_scores_is_undecided_on_three(claim):
    """What the three say, for or against, is not what is claimed; the note names the fourth."""
    for sign in (1.0, -1.0):
        distances = {f"distance by {score}": sign for score in ALL} | {"distance by raw": -1.0}
        rows = support(dict.fromkeys(ALL, sign) | distances, bases=(1, 2, 3)).tables["support"]
        assert said(claim, Facts({"support": rows})) in ("holds", "fails")
        for bases in ((1, 2, 3), (2,)):
            of_three = [row for row in rows if row["score"] != "top-k" or row["base"] not in bases]
            found = DECIDE[claim](Facts({"support": of_three}))
            assert (found.p_for, found.p_against, found.n) == (None, None, 0)
            assert found.note == "results/support.csv has no rows by top-k of layer 0; set tokens.top_k"
    found = DECIDE[claim](Facts({"support": rows}, layer=1))
    assert found.note == "results/support.csv has no row of layer 1"


def test_shuffled_parts_of_support_hold_nothing():
    rng, held = np.random.default_rng(0), {"A7": 0, "A8": 0}
    for _ in range(200):
        noise = {score: rng.normal(0, 0.05) for score in ALL}
        facts = support(noise | {f"distance by {score}": rng.normal(0, 0.05) for score in ALL}, bases=(1,))
        for claim in held:
            held[claim] += said(claim, facts) == "holds"
    assert max(held.values()) <= 10


@pytest.mark.parametrize(
    ("shares", "half", "verdict"),
    [
        ((0.8, 0.7), 0.05, "holds"),
        ((0.8, 0.3), 0.05, "fails"),
        ((0.8, 0.52), 0.05, "undecided"),
        ((0.8, 0.7), None, "undecided"),
    ],
)
def test_most_tokens_are_certain(shares, half, verdict):
    rows = [
        {"base": base, "what": "near certain", "value": share, "responses": 40}
        | {"ci_low": half and share - half, "ci_high": half and share + half}
        for base, share in enumerate(shares)
    ]
    assert said("F1", Facts({"pattern": rows})) == verdict


def test_every_claim_has_one_decision():
    assert sorted(DECIDE) == sorted(claim.id for claim in CLAIMS)
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
