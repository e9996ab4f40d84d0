"""Stage `gradients`: how the update of a base policy is made up, subset by subset and token by token.

The batch is the probe, at ratio 1: g = (1/N) sum_t g_t with g_t = -A_t grad log pi(y_t).

Out: the table gradients, where each subset and each decile stands against g, and the table token_gradients: <g_t, g> of
every token, its inner product with the gradient of accuracy on the other half of the prompts, and |g_t| of a sample.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from tokenspectrum.errors import UserError
from tokenspectrum.gradients.geometry import deciles
from tokenspectrum.gradients.update import Subset, measure_update
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.gradients import GradientsParams
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.params.values import Alignment
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.chosen import chosen_tokens
from tokenspectrum.rollout.probed import Probed
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.progress import Progress
from tokenspectrum.tables import gradients, token_gradients
from tokenspectrum.tokenlog.writer import write_manifest, write_step
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.probe import Probe
from tokenspectrum.weighting.rule import Rule, Score


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "rollouts": "folder of the base policy's responses",
        "tokens": "folder of its tokens",
        "attention": "folder of its attention statistics",
        "vocab": "folder of the policy's vocabulary",
        "policy": "folder of the base policy",
        "out": "folder to write the tables into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    args = parser.parse_args(argv)
    params, systems, alignment = read_sections(
        gradients=GradientsParams, systems=SystemsParams, **{"tokens.alignment": Alignment}
    )
    scores = Probe(args.rollouts, args.tokens, args.attention, args.vocab)
    probed = Probed(args.rollouts)
    model, _ = load_policy(args.policy, device=systems.device)
    layers = model.config.get_text_config().num_hidden_layers
    layer = resolve_layer(params.deciles.layer, layers)
    subsets = [of_rule(name, rule.resolved(layers), scores) for name, rule in params.subsets.items()]
    subsets += of_deciles(Score(params.deciles.score, layer, alignment.root), scores)
    chosen = chosen_tokens(probed.responses, params.norms, probed.seed, 0)
    with Progress("gradients", total=4 * len(probed.responses)) as progress:
        found = measure_update(model, probed, subsets, chosen, systems.micro_batch, progress.update)
    where: dict[str, Any] = {"run": probed.run, "seed": probed.seed, "step": 0}
    write_step(args.out, "gradients", gradients.SCHEMA, found.subset_columns(), **where)
    write_step(args.out, "token_gradients", token_gradients.SCHEMA, found.token_columns(scores), **where)
    write_manifest(args.out)


def of_rule(name: str, rule: Rule, scores: Probe) -> Subset:
    """The tokens as a rule weighs them at its first step.  UserError where that takes the policy of a later one."""
    if rule.needs_current:
        raise UserError(f"gradients.subsets.{name}: entropy_of current is of a policy in training; use old")
    batch = scores.batch(rule)
    layer = rule.layers[0] if len(rule.layers) == 1 else None
    return Subset(name, layer, apply(rule.fitted(batch), batch).weight_N)


def of_deciles(score: Score, scores: Probe) -> list[Subset]:
    """Ten subsets that share out the tokens of every response."""
    value_N, lengths = scores.attention(score), scores.lengths.tolist()
    decile_N = torch.tensor([d for part in value_N.split(lengths) for d in deciles(part.tolist())])
    return [Subset(f"decile{d}", score.layers[0], (decile_N == d).float()) for d in range(10)]


if __name__ == "__main__":
    run(main)
