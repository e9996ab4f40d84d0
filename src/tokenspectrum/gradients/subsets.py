"""Subsets of the tokens of a batch: by a rule, deciles, by the score of a layer, and controls that match another.

Knows rules and scores.  Knows no model and no gradient.

Legend: N response tokens, C classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.errors import UserError
from tokenspectrum.gradients.geometry import deciles
from tokenspectrum.params.gradients import GradientsParams, LayerSubsets, MatchedSubset
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.params.values import AlignmentName
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.probe import Probe
from tokenspectrum.weighting.rule import Rule, Score

FIFTHS = 5


@dataclass(frozen=True)
class Subset:
    """A weight of every token, and the layer that ranked them (None: none).

    `overlap` is of a control: the share of its tokens that the subset it matches has too.
    """

    name: str
    layer: int | None
    weight_N: torch.Tensor
    overlap: float | None = None


def subsets_of(params: GradientsParams, scores: Probe, n_layers: int, alignment: AlignmentName) -> list[Subset]:
    """All that params ask for, on a policy of `n_layers` layers: of rules, controls, deciles, and of single layers."""
    found = {name: of_rule(name, rule.resolved(n_layers), scores) for name, rule in params.subsets.items()}
    controls = [matched(name, control, found[control.of], scores) for name, control in params.matched.items()]
    layer = resolve_layer(params.deciles.layer, n_layers)
    ten = of_deciles(Score(params.deciles.score, layer, alignment), scores)
    return [*found.values(), *controls, *ten, *of_layers(params.by_layer, scores, n_layers, alignment)]


def of_rule(name: str, rule: Rule, scores: Probe) -> Subset:
    """The tokens as a rule weighs them at the step of the batch, which is 0 for the base policy's probe.

    A rule by loss ranks |A|, which is |l_t| at ratio 1.  UserError where a rule takes the policy of a later step.
    """
    if rule.needs_current and (rule.looks_at is None or rule.looks_at.name != "loss_magnitude"):
        raise UserError(f"gradients.subsets.{name}: entropy_of current is of a policy in training; use old")
    batch = scores.batch(rule)
    layer = rule.layers[0] if len(rule.layers) == 1 else None
    return Subset(name, layer, apply(rule, batch).weight_N)


def of_deciles(score: Score, scores: Probe) -> list[Subset]:
    """Ten subsets that share out the tokens of every response."""
    value_N, lengths = scores.attention(score), scores.lengths.tolist()
    decile_N = torch.tensor([d for part in value_N.split(lengths) for d in deciles(part.tolist())])
    return [Subset(f"decile{d}", score.layers[0], (decile_N == d).float()) for d in range(10)]


def of_layers(asked: LayerSubsets, scores: Probe, n_layers: int, alignment: AlignmentName) -> Iterator[Subset]:
    """Of each layer asked for, the k tokens of every response with the lowest score, and those with the highest."""
    named = [] if asked.layers == "all" else [resolve_layer(layer, n_layers) for layer in asked.layers]
    layers = scores.layers() if asked.layers == "all" else named
    for layer in dict.fromkeys(layers):  # shallow is layer 0 too
        value_N = scores.attention(Score(asked.score, layer, alignment))
        low, high = [], []
        for part in value_N.split(scores.lengths.tolist()):
            k, rank = max(1, int(asked.p * len(part) + 0.5)), torch.empty(len(part), dtype=torch.int64)
            rank[torch.argsort(part, stable=True)] = torch.arange(len(part))
            low.append(rank < k)
            high.append(rank >= len(part) - k)
        yield Subset(f"anchors_l{layer}", layer, torch.cat(low).float())
        yield Subset(f"explorers_l{layer}", layer, torch.cat(high).float())


def matched(name: str, control: MatchedSubset, of: Subset, scores: Probe) -> Subset:
    """By chance, as many tokens of each class of the batch as `of` keeps.  UserError where `of` is not a mask."""
    kept_N = of.weight_N.numpy() > 0
    if not bool(((of.weight_N == 0) | (of.weight_N == 1)).all()):
        raise UserError(f"gradients.matched.{name}.of: {of.name} weighs its tokens; match one that keeps or drops them")
    _, class_N = np.unique(np.stack([_levels(on, scores) for on in control.on]), axis=1, return_inverse=True)
    class_N = class_N.ravel()
    u_N = draws(f"matched.{name}", scores)
    order_N = np.lexsort((u_N, class_N))
    starts_C = np.cumsum(np.bincount(class_N)) - np.bincount(class_N)
    rank_N = np.empty_like(order_N)
    rank_N[order_N] = np.arange(len(order_N)) - starts_C[class_N[order_N]]
    selected_N = rank_N < np.bincount(class_N, weights=kept_N)[class_N]
    overlap = int((selected_N & kept_N).sum()) / max(1, int(kept_N.sum()))
    return Subset(name, of.layer, torch.from_numpy(selected_N.astype(np.float32)), overlap)


def _levels(on: str, scores: Probe) -> np.ndarray:
    """int64 N: the level of one covariate.  Equal values have the same level."""
    if on == "type":
        return scores.token_types().numpy()
    if on == "position":
        return scores.position_N * FIFTHS // np.repeat(scores.lengths, scores.lengths)
    value_N = (scores.predictive_entropy() if on == "predictive" else scores.loss_magnitude()).numpy()
    return np.searchsorted(np.sort(value_N), value_N) * FIFTHS // max(1, len(value_N))


def draws(domain: str, scores: Probe) -> np.ndarray:
    """float64 N in [0, 1): hashes of (domain, seed, step, prompt, sample, position)."""
    names: Sequence[tuple[str, int]] = list(
        zip(scores.responses["prompt_id"].to_pylist(), scores.responses["sample"].to_pylist(), strict=True)
    )
    keys_R = np.array([stream_key(domain, scores.seed, scores.step, *name) for name in names], np.uint64)
    return uniforms(np.repeat(keys_R, scores.lengths), scores.position_N)
