"""Scores of several layers against plain means, and partitions of the first tokens against sorting those alone."""

import pytest
import torch
from hypothesis import given, settings
from test_weighting_masks import brute_ranked, fractions, make_batch, ranked, raw_batches, scopes, selected
from test_weighting_matched import KINDS, control
from test_weighting_matched import make_batch as make_typed

from tokenspectrum.errors import UserError
from tokenspectrum.params.layers import resolve_layers
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.assemble import token_batch
from tokenspectrum.weighting.registry import make_rule, rule_from_json

ANCHOR = {"kind": "anchor", "denominator": "selected", "p": 0.4, "score": "entropy_raw", "alignment": "token"}
ANCHOR |= {"scope": "response", "entropy_of": "old"}


class Numbers:
    """A Source whose score at layer l is scores[l]."""

    def __init__(self, scores):
        self.scores, self.asked = scores, []

    def attention(self, score):
        self.asked.append((score.name, score.layer, score.alignment))
        return self.scores[score.layer]


def assembled(rule, source, n):
    zero = torch.zeros(1, dtype=torch.int64)
    lengths = {"lengths_R": torch.tensor([n]), "samples_R": zero, "minibatch_R": zero}
    return token_batch(rule, source, seed=0, step=1, prompt_ids=["p"], **lengths)


def test_the_score_of_several_layers_is_their_mean():
    scores = torch.rand(4, 9, generator=torch.Generator().manual_seed(1))
    source, rule = Numbers(scores), make_rule(**ANCHOR, layer=[0, 3, 1])
    found = assembled(rule, source, 9).scores["entropy_raw"]
    wanted = [(a + b + c) / 3 for a, b, c in zip(*(scores[i].tolist() for i in (0, 3, 1)), strict=True)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-6)
    assert found.dtype == torch.float32
    assert source.asked == [("entropy_raw", layer, "token") for layer in (0, 3, 1)]
    assert rule.layers == (0, 3, 1)
    assert rule_from_json(rule.to_json()) == rule


def test_one_layer_keeps_its_bits():
    scores = torch.rand(2, 9)
    assert torch.equal(assembled(make_rule(**ANCHOR, layer=1), Numbers(scores), 9).scores["entropy_raw"], scores[1])


@pytest.mark.parametrize(
    ("layers", "found"),
    [("mean", (0, 1, 2, 3, 4, 5, 6, 7, 8)), (("shallow", "mid", "deep"), (2, 5, 8)), ((4, "deep"), (4, 8)), ("mid", 5)],
)
def test_layers_are_resolved(layers, found):
    assert resolve_layers(layers, 9) == found
    rule = make_rule(**ANCHOR, layer=0).model_copy(update={"layer": layers})
    assert rule.resolved(9).layer == found


def test_wrong_layers_are_one_line():
    with pytest.raises(UserError, match=r"^layers 'shallow' and 0 are both layer 0 here; name each layer once$"):
        resolve_layers(("shallow", 0), 3)
    with pytest.raises(UserError, match="layer 9: the policy has layers 0 to 8"):
        resolve_layers(("mid", 9), 9)
    assert resolve_layers("mean", 1) == 0


@settings(max_examples=60, deadline=None)
@given(raw_batches(), fractions, scopes)
@pytest.mark.parametrize("kind", ["anchor", "explorer", "predictive-low", "predictive-high"])
@pytest.mark.parametrize("first_n", [1, 4])
def test_first_n_ranks_the_first_tokens_alone(kind, first_n, raw, p, scope):
    scores, names, minibatch = raw
    name = "predictive_entropy" if kind.startswith("predictive") else "entropy_norm"
    batch = make_batch(*raw, name=name)
    rule = make_rule(**ranked(kind, p, scope, score=name).record() | {"first_n": first_n})
    weights = apply(rule, batch)
    first = [row[:first_n] for row in scores]
    kept, cuts = brute_ranked(first, names, minibatch, p, scope, highest=kind in ("explorer", "predictive-high"))
    assert selected(weights, batch) == kept
    assert weights.score_at_cut == pytest.approx(sum(cuts) / len(cuts), abs=1e-6)
    assert weights.kept_fraction == pytest.approx(len(kept) / batch.n_tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_a_matched_control_chooses_among_the_same_first_tokens(kind):
    batch = make_typed([30, 5, 22])
    rule = control(kind, "anchor", 0.3, "response")
    rule = rule.model_copy(update={"of": rule.of.model_copy(update={"first_n": 12})})
    weights, matched = apply(rule, batch), apply(rule.of, batch)
    assert int(weights.selected_N.sum()) == int(matched.selected_N.sum()) == 4 + 2 + 4
    assert int(batch.position_N[weights.selected_N].max()) < 12
    assert rule_from_json(rule.to_json()) == rule
