"""Matched controls against counting: the same histogram as the mask they match, and otherwise chance."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.registry import make_rule

KINDS = ["type-matched", "position-matched", "covariate-matched"]
TARGETS = {"anchor": "entropy_norm", "predictive-high": "predictive_entropy", "loss-low": "loss_magnitude"}


def make_batch(lengths, *, seed=3, step=2):
    draw = torch.Generator().manual_seed(sum(lengths) + len(lengths))
    n = sum(lengths)
    return TokenBatch(
        lengths_R=torch.tensor(lengths, dtype=torch.int64),
        seed=seed,
        step=step,
        prompt_ids=[f"p{r // 2}" for r in range(len(lengths))],
        samples_R=torch.arange(len(lengths)) % 2,
        minibatch_R=torch.arange(len(lengths)) % 3,
        # Few values: many ties.
        scores={name: torch.randint(0, 5, (n,), generator=draw) / 4 for name in TARGETS.values()},
        token_type_N=torch.randint(0, 6, (n,), generator=draw),
    )


def control(kind, target, p, scope):
    current = "current" if target.startswith("loss") else "old"
    row = {"layer": 0, "alignment": "decision"} if target == "anchor" else {}
    values = {"p": p, "score": TARGETS[target], "scope": scope, "entropy_of": current, **row}
    return make_rule(kind=kind, matches=target, denominator="selected", **values)


def cells(kind, batch, scope):
    """(segment, class) of every token, by plain arithmetic."""
    found, at = [], 0
    if kind == "covariate-matched":
        return covariates(batch)
    for r, length in enumerate(batch.lengths_R.tolist()):
        segment = {"response": r, "minibatch": int(batch.minibatch_R[r]), "rollout": 0}[scope]
        for t in range(length):
            part = math.floor(10 * t / length) if kind == "position-matched" else int(batch.token_type_N[at])
            found.append((segment, part))
            at += 1
    return found


def covariates(batch):
    """(type, fifth of the response, fifth of predictive entropy) of every token, by plain arithmetic."""
    tokens = [(r, t) for r, length in enumerate(batch.lengths_R.tolist()) for t in range(length)]
    entropy = batch.scores["predictive_entropy"].tolist()

    def place(i):
        r, t = tokens[i]
        return entropy[i], t, batch.prompt_ids[r], int(batch.samples_R[r])

    ranks = {i: rank for rank, i in enumerate(sorted(range(len(tokens)), key=place))}
    return [
        (int(batch.token_type_N[i]), 5 * t // int(batch.lengths_R[r]), 5 * ranks[i] // len(tokens))
        for i, (r, t) in enumerate(tokens)
    ]


def hashes(batch):
    found = []
    for r, length in enumerate(batch.lengths_R.tolist()):
        key = np.uint64(stream_key("mask", batch.seed, batch.step, batch.prompt_ids[r], int(batch.samples_R[r])))
        found += uniforms(key, np.arange(length)).tolist()
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=7),
    st.sampled_from(KINDS),
    st.sampled_from(list(TARGETS)),
    st.sampled_from([0.05, 0.2, 0.5, 1.0]),
    st.sampled_from(["response", "minibatch", "rollout"]),
)
def test_the_histogram_is_the_matched_one_and_the_lowest_hashes_are_kept(lengths, kind, target, p, scope):
    if target.startswith("loss") and scope == "rollout":
        scope = "minibatch"
    batch = make_batch(lengths)
    rule = control(kind, target, p, scope)
    weights = apply(rule, batch)
    matched = apply(rule.of, batch)
    places = cells(kind, batch, scope)
    wanted = Counter(place for place, kept in zip(places, matched.selected_N.tolist(), strict=True) if kept)
    u = hashes(batch)
    for place in set(places):
        inside = sorted((u[i], i) for i in range(len(places)) if places[i] == place)
        for rank, (_, i) in enumerate(inside):
            assert bool(weights.selected_N[i]) == (rank < wanted[place])
    assert weights.kept_fraction == matched.kept_fraction
    assert weights.score_at_cut is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_choice_is_by_chance_and_another_at_each_step(kind):
    rule = control(kind, "anchor", 0.3, "response")
    masks = [apply(rule, make_batch([60] * 50, step=step)).selected_N for step in (1, 1, 2)]
    assert torch.equal(masks[0], masks[1])
    anchors = apply(rule.of, make_batch([60] * 50)).selected_N
    for one, two in ((masks[0], masks[2]), (masks[0], anchors)):
        overlap = float((one & two).double().sum() / one.double().sum())
        assert 0.2 < overlap < 0.55


def test_types_and_positions_are_other_controls_and_need_what_they_read():
    batch = make_batch([30, 17, 22])
    masks = [apply(control(kind, "anchor", 0.3, "response"), batch).selected_N for kind in KINDS]
    assert len({tuple(mask.tolist()) for mask in masks}) == len(KINDS)
    bare = replace(batch, token_type_N=None)
    assert torch.equal(apply(control("position-matched", "anchor", 0.3, "response"), bare).selected_N, masks[1])
    for kind in ("type-matched", "covariate-matched"):
        with pytest.raises(ValueError, match="no token types"):
            apply(control(kind, "anchor", 0.3, "response"), bare)


def test_the_covariate_control_says_how_much_of_it_is_the_matched_mask():
    batch = make_batch([60] * 50)
    rule = control("covariate-matched", "anchor", 0.3, "response")
    weights, matched = apply(rule, batch), apply(rule.of, batch)
    both = float((weights.selected_N & matched.selected_N).double().sum() / matched.selected_N.double().sum())
    assert weights.extra["overlap"] == pytest.approx(both)
    # One token a class leaves chance no choice.
    alone = make_batch([10])
    assert apply(control("covariate-matched", "anchor", 1.0, "response"), alone).extra["overlap"] == 1.0
