"""Hard rules against loops over plain lists: ragged, with ties, T = 1, every scope, any order of the batch."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.errors import UserError
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.registry import make_rule

SCORES = [0.0, -0.0, 0.25, 0.5, 0.500001, 1.0]


def make_batch(scores, names, minibatch, *, seed=3, step=2, name="entropy_norm"):
    """From a list of lists of scores: padded to a rectangle with NaN, then flattened by the mask."""
    lengths = [len(row) for row in scores]
    padded_RT = torch.full((len(scores), max(lengths, default=0)), math.nan)
    for r, row in enumerate(scores):
        padded_RT[r, : len(row)] = torch.tensor(row)
    valid_RT = torch.arange(padded_RT.shape[1])[None] < torch.tensor(lengths, dtype=torch.int64)[:, None]
    return TokenBatch(
        lengths_R=torch.tensor(lengths, dtype=torch.int64),
        seed=seed,
        step=step,
        prompt_ids=[prompt for prompt, _ in names],
        samples_R=torch.tensor([sample for _, sample in names], dtype=torch.int64),
        minibatch_R=torch.tensor(minibatch, dtype=torch.int64),
        scores={name: padded_RT[valid_RT]},
    )


@st.composite
def raw_batches(draw, longest=12):
    n = draw(st.integers(1, 6))
    scores = [draw(st.lists(st.sampled_from(SCORES), min_size=1, max_size=longest)) for _ in range(n)]
    names = [(f"p{draw(st.integers(0, 1))}", r) for r in range(n)]
    minibatch = [draw(st.sampled_from([0, 1, 4])) for _ in range(n)]
    return scores, names, minibatch


fractions = st.sampled_from([0.05, 0.2, 0.25, 0.3, 0.5, 0.7, 1.0])
scopes = st.sampled_from(["response", "minibatch", "rollout"])


def ranked(kind, p, scope, entropy_of="old", score="entropy_norm"):
    row = {"layer": 0, "alignment": "decision"} if score.startswith("entropy") else {}
    return make_rule(kind=kind, denominator="selected", p=p, score=score, scope=scope, entropy_of=entropy_of, **row)


def brute_ranked(scores, names, minibatch, p, scope, highest):
    """The set of (response, position) that a partition keeps, and the score of each segment's boundary token."""
    segments = {}
    for r, row in enumerate(scores):
        segment = {"response": r, "minibatch": minibatch[r], "rollout": 0}[scope]
        for t, score in enumerate(row):
            segments.setdefault(segment, []).append((score, t, *names[r], r))
    kept, cuts = set(), []
    for tokens in segments.values():
        k = max(1, math.floor(p * len(tokens) + 0.5))
        tokens = sorted(tokens)
        chosen = tokens[-k:] if highest else tokens[:k]
        kept |= {(r, t) for _, t, _, _, r in chosen}
        cuts.append(chosen[0][0] if highest else chosen[-1][0])
    return kept, cuts


def brute_loss(scores, names, minibatch, p, scope, highest, seed, step):
    """The same for the loss rules: equal losses go by the hash of the token."""
    segments = {}
    for r, row in enumerate(scores):
        key = np.uint64(stream_key("mask", seed, step, *names[r]))
        for t, score in enumerate(row):
            token = (score, uniforms(key, np.array([t]))[0], t, *names[r], r)
            segments.setdefault({"response": r, "minibatch": minibatch[r]}[scope], []).append(token)
    kept, cuts = set(), []
    for tokens in segments.values():
        k = max(1, math.floor(p * len(tokens) + 0.5))
        chosen = sorted(tokens)[-k:] if highest else sorted(tokens)[:k]
        kept |= {(r, t) for _, _, t, _, _, r in chosen}
        cuts.append(chosen[0][0] if highest else chosen[-1][0])
    return kept, cuts


def selected(weights, batch):
    pairs = zip(batch.response_N.tolist(), batch.position_N.tolist(), strict=True)
    return {pair for pair, chosen in zip(pairs, weights.selected_N.tolist(), strict=True) if chosen}


@settings(max_examples=150, deadline=None)
@given(raw_batches(), fractions, scopes, st.sampled_from(["anchor", "explorer", "predictive-low", "predictive-high"]))
def test_ranked_rules_against_sorting(raw, p, scope, kind):
    name = "predictive_entropy" if kind.startswith("predictive") else "entropy_norm"
    batch = make_batch(*raw, name=name)
    weights = apply(ranked(kind, p, scope, score=name), batch)
    kept, cuts = brute_ranked(*raw, p, scope, highest=kind in ("explorer", "predictive-high"))
    assert selected(weights, batch) == kept
    assert weights.weight_N.tolist() == weights.selected_N.float().tolist()
    assert weights.weight_N.dtype == torch.float32
    assert weights.kept_fraction == len(kept) / batch.n_tokens
    assert weights.score_at_cut == pytest.approx(np.mean(cuts), abs=1e-6)
    assert weights.extra["cut_min"] == pytest.approx(min(cuts), abs=1e-6)
    assert weights.extra["cut_max"] == pytest.approx(max(cuts), abs=1e-6)
    assert weights.extra["effective_sample_size"] == len(kept)


@settings(max_examples=120, deadline=None)
@given(raw_batches(), fractions, st.sampled_from(["response", "minibatch"]), st.booleans(), st.integers(0, 4))
def test_loss_rules_against_sorting(raw, p, scope, highest, step):
    batch = make_batch(*raw, step=step, name="loss_magnitude")
    rule = ranked("loss-high" if highest else "loss-low", p, scope, "current", "loss_magnitude")
    weights = apply(rule, batch)
    kept, cuts = brute_loss(*raw, p, scope, highest, 3, step)
    assert selected(weights, batch) == kept
    assert weights.score_at_cut == pytest.approx(np.mean(cuts), abs=1e-6)


def test_equal_losses_are_neither_a_front_nor_a_back_mask():
    """Before the first update every token of a response has the loss |A|."""
    batch = make_batch([[0.7] * 200] * 40, [(f"p{r}", 0) for r in range(40)], [0] * 40, name="loss_magnitude")
    low, high = (
        apply(ranked(kind, 0.5, "response", "current", "loss_magnitude"), batch).selected_N.reshape(40, 200)
        for kind in ("loss-low", "loss-high")
    )
    assert torch.equal(low, ~high)
    assert abs(float(low[:, :100].double().mean()) - 0.5) < 4 * 0.5 / math.sqrt(4000)
    assert len({tuple(row) for row in low.tolist()}) == 40


@settings(max_examples=60, deadline=None)
@given(raw_batches(), st.floats(0.01, 0.5), scopes)
def test_anchor_and_explorer_share_no_token(raw, p, scope):
    batch = make_batch(*raw)
    anchors = apply(ranked("anchor", p, scope), batch).selected_N
    explorers = apply(ranked("explorer", p, scope), batch).selected_N
    segment_N = batch.segment_N(scope)
    for segment in segment_N.unique().tolist():
        inside = segment_N == segment
        size = int(inside.sum())
        k = max(1, math.floor(p * size + 0.5))
        assert int(anchors[inside].sum()) == int(explorers[inside].sum()) == k
        # Rounding up to half a token, or to the one token that is always kept, is all that can make them meet.
        assert int((anchors & explorers)[inside].sum()) == max(0, 2 * k - size)


@settings(max_examples=60, deadline=None)
@given(raw_batches(), fractions, scopes, st.randoms(use_true_random=False))
@pytest.mark.parametrize("kind", ["anchor", "explorer", "loss-low", "loss-high", "random", "front", "back"])
def test_order_of_the_batch_does_not_matter(kind, raw, p, scope, shuffler):
    name = "entropy_norm"
    if kind in ("anchor", "explorer"):
        rule = ranked(kind, p, scope)
    elif kind.startswith("loss"):
        name = "loss_magnitude"
        rule = ranked(kind, p, "minibatch", "current", name)
    else:
        rule = make_rule(kind=kind, denominator="selected", p=p)
    batch = make_batch(*raw, name=name)
    order = list(range(len(raw[0])))
    shuffler.shuffle(order)
    other = make_batch(*[[column[r] for r in order] for column in raw], name=name)
    moved = {(order[r], t) for r, t in selected(apply(rule, other), other)}
    assert selected(apply(rule, batch), batch) == moved


@settings(max_examples=60, deadline=None)
@given(raw_batches(), fractions)
def test_front_and_back_against_their_definition(raw, p):
    batch = make_batch(*raw)
    tokens = [(r, t, len(row)) for r, row in enumerate(raw[0]) for t in range(len(row))]
    front = selected(apply(make_rule(kind="front", denominator="selected", p=p), batch), batch)
    back = selected(apply(make_rule(kind="back", denominator="selected", p=p), batch), batch)
    assert front == {(r, t) for r, t, size in tokens if (t + 1) / size <= p}
    # Exact: in binary 1 - 0.8 lies below 1/5.
    assert back == {(r, t) for r, t, size in tokens if Fraction(t + 1, size) > 1 - Fraction(str(p))}


@pytest.mark.parametrize("tenths", range(1, 10))
@pytest.mark.parametrize("size", [5, 10, 20, 50])
def test_back_keeps_p_of_a_response_that_p_divides(tenths, size):
    batch = make_batch([[0.1] * size], [("a", 0)], [0])
    back = selected(apply(make_rule(kind="back", denominator="selected", p=tenths / 10), batch), batch)
    assert len(back) == size - (10 - tenths) * size // 10


def test_front_is_empty_below_one_over_p_and_back_is_not():
    batch = make_batch([[0.1] * 4, [0.2] * 5], [("a", 0), ("a", 1)], [0, 0])
    assert selected(apply(make_rule(kind="front", denominator="selected", p=0.2), batch), batch) == {(1, 0)}
    assert selected(apply(make_rule(kind="back", denominator="selected", p=0.2), batch), batch) == {(0, 3), (1, 4)}


@settings(max_examples=40, deadline=None)
@given(raw_batches(), fractions, st.integers(0, 5), st.integers(0, 5))
def test_random_is_the_counter_hash(raw, p, seed, step):
    batch = make_batch(*raw, seed=seed, step=step)
    kept = set()
    for r, row in enumerate(raw[0]):
        key = np.uint64(stream_key("mask", seed, step, *raw[1][r]))
        kept |= {(r, t) for t in range(len(row)) if uniforms(key, np.array([t]))[0] < p}
    assert selected(apply(make_rule(kind="random", denominator="selected", p=p), batch), batch) == kept


def long_batch(rows=400, size=100, seed=3, step=2):
    scores = torch.rand(rows, size, generator=torch.Generator().manual_seed(1)).tolist()
    return make_batch(
        scores, [(f"p{r // 8}", r % 8) for r in range(rows)], [r % 4 for r in range(rows)], seed=seed, step=step
    )


@pytest.mark.parametrize("p", [0.05, 0.2, 0.6])
def test_random_keeps_about_p_independently_of_place(p):
    chosen_RT = (
        apply(make_rule(kind="random", denominator="selected", p=p), long_batch()).selected_N.reshape(400, 100).double()
    )
    deviation = math.sqrt(p * (1 - p))
    assert abs(float(chosen_RT.mean()) - p) < 4 * deviation / 200
    assert float((chosen_RT.mean(0) - p).abs().max()) < 4.5 * deviation / 20
    assert float((chosen_RT.mean(1) - p).abs().max()) < 5 * deviation / 10
    neighbours = ((chosen_RT[:, 1:] - p) * (chosen_RT[:, :-1] - p)).mean() / deviation**2
    assert abs(float(neighbours)) < 4 / 200


def test_random_changes_with_seed_and_step():
    rule = make_rule(kind="random", denominator="selected", p=0.5)
    masks = [apply(rule, long_batch(8, 50, seed, step)).selected_N for seed, step in [(1, 1), (1, 2), (2, 1), (1, 1)]]
    assert torch.equal(masks[0], masks[3])
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        assert 0.3 < float((masks[i] == masks[j]).double().mean()) < 0.7


def test_each_scope_and_fraction_keeps_other_tokens():
    batch = long_batch(16, 30)
    found = {
        (scope, p): tuple(apply(ranked("anchor", p, scope), batch).selected_N.tolist())
        for scope in ("response", "minibatch", "rollout")
        for p in (0.1, 0.2)
    }
    assert len(set(found.values())) == 6


def test_minibatch_scope_is_each_minibatch_by_itself():
    """What a trainer that ranks anew hands over, one mini-batch at a time, equals ranking them all at once."""
    raw = [[0.1, 0.9, 0.5], [0.3], [0.2, 0.2, 0.8, 0.7], [0.6]], [("a", 0), ("b", 0), ("a", 1), ("b", 1)], [0, 1, 0, 1]
    whole = make_batch(*raw)
    together = selected(apply(ranked("explorer", 0.3, "minibatch"), whole), whole)
    apart = set()
    for m in (0, 1):
        rows = [r for r in range(4) if raw[2][r] == m]
        part = make_batch(*[[column[r] for r in rows] for column in raw])
        apart |= {(rows[r], t) for r, t in selected(apply(ranked("explorer", 0.3, "minibatch"), part), part)}
    assert together == apart


def test_uniform_keeps_everything_and_looks_at_nothing():
    weights = apply(
        make_rule(kind="uniform", denominator="all"), make_batch([[0.5], [0.1, 0.2]], [("a", 0), ("a", 1)], [0, 0])
    )
    assert weights.weight_N.tolist() == [1.0, 1.0, 1.0]
    assert weights.score_N.isnan().all()
    assert weights.score_at_cut is None
    assert (weights.kept_fraction, weights.extra["effective_sample_size"]) == (1.0, 3.0)


def test_one_token_is_anchor_and_explorer_at_once():
    batch = make_batch([[0.4]], [("a", 0)], [0])
    for kind in ("anchor", "explorer"):
        assert apply(ranked(kind, 0.2, "response"), batch).weight_N.tolist() == [1.0]


def test_empty_responses_and_empty_batches_own_nothing():
    batch = make_batch([[], [0.3, 0.1]], [("a", 0), ("a", 1)], [0, 0])
    assert apply(ranked("anchor", 0.2, "response"), batch).weight_N.tolist() == [0.0, 1.0]
    none = make_batch([], [], [])
    for kind in ("anchor", "explorer"):
        weights = apply(ranked(kind, 0.2, "rollout"), none)
        assert (len(weights.weight_N), weights.kept_fraction, weights.score_at_cut) == (0, 0.0, None)


def test_a_score_that_is_not_finite_is_named():
    batch = make_batch([[0.1], [0.2, math.nan]], [("a", 0), ("b", 5)], [0, 0])
    batch.scores["entropy_norm"][2] = math.nan
    with pytest.raises(UserError, match=r"entropy_norm is nan at step 2, prompt b, sample 5, position 1"):
        apply(ranked("anchor", 0.2, "response"), batch)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="entropy_norm has shape"):
        TokenBatch(
            torch.tensor([2]), 0, 0, ["a"], torch.tensor([0]), torch.tensor([0]), {"entropy_norm": torch.zeros(3)}
        )
    with pytest.raises(ValueError, match="prompt_ids has 2 entries for 1"):
        TokenBatch(torch.tensor([2]), 0, 0, ["a", "b"], torch.tensor([0]), torch.tensor([0]), {})
    with pytest.raises(ValueError, match="no score 'predictive_entropy'"):
        apply(
            ranked("predictive-low", 0.2, "response", score="predictive_entropy"), make_batch([[0.1]], [("a", 0)], [0])
        )


def test_only_rules_of_the_current_policy_are_ranked_at_update_time():
    assert ranked("anchor", 0.2, "minibatch", entropy_of="current").needs_current
    assert not ranked("anchor", 0.2, "minibatch").needs_current
    assert not make_rule(kind="uniform", denominator="all").needs_current
