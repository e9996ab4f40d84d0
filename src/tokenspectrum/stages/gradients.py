"""Stage `gradients`: how the update of a base policy is made up, subset by subset and token by token.

The batch is the probe, at ratio 1: g = (1/N) sum_t g_t with g_t = -A_t grad log pi(y_t).

Out: the table gradients, where each subset and each decile stands against g; the table token_gradients: <g_t, g> of
every token, its inner product with the gradient of accuracy on the other half of the prompts, and |g_t| of a sample;
and, where params ask for it, the table sparse_gradients: random masks of a small batch against all of it.
"""

import argparse
from pathlib import Path

from tokenspectrum.gradients.write import write_update
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.gradients import GradientsParams
from tokenspectrum.params.values import Alignment
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.probed import Probed
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.tokenlog.writer import write_manifest
from tokenspectrum.weighting.probe import Probe


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
    model, _ = load_policy(args.policy, device=systems.device)
    write_update(args.out, model, Probed(args.rollouts), scores, params, alignment.root, systems)
    write_manifest(args.out)


if __name__ == "__main__":
    run(main)
