"""Stage `tokens`: log-probability, predictive entropy and attention statistics of the base policy's response tokens.

Out, as two folders: the table tokens; and the tables attention and attention_rows.  Weight, mini-batch, ratio and loss
are null, because nothing is trained at step 0.  A killed stage goes on after the last micro-batch that it measured.
Exit code 75: stopped by SIGTERM, and a part was kept.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tokenspectrum.params.base import read_sections
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.params.tokens import TokensParams
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.chosen import chosen_tokens
from tokenspectrum.rollout.columns import attention_columns, row_columns
from tokenspectrum.rollout.measure import check_not_inert, longest_context, measure_responses
from tokenspectrum.rollout.measured_parts import measure_in_parts
from tokenspectrum.rollout.parts import kept_parts, policy_facts
from tokenspectrum.rollout.probed import Probed
from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Response
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.progress import Progress
from tokenspectrum.tables import attention, attention_rows, tokens
from tokenspectrum.tokenlog.writer import write_manifest, write_step


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "rollouts": "folder of the base policy's responses",
        "policy": "folder of the base policy",
        "out": "folder to write the table tokens into",
        "attention": "folder to write the tables attention and attention_rows into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    args = parser.parse_args(argv)
    params, systems = read_sections(tokens=TokensParams, systems=SystemsParams)
    torch.set_num_threads(systems.threads)  # of each process; the job has a core for all of theirs
    probe = Probed(args.rollouts)
    check_not_inert(longest_context(probe.responses, params.alignment), params.top_k, params.fixed_k, "tokens")
    model, _ = load_policy(args.policy, device=systems.device)
    count = model.config.get_text_config().num_hidden_layers
    named = range(count) if params.layers == "all" else params.layers
    layers = sorted({resolve_layer(layer, count) for layer in named})
    rows = chosen_tokens(probe.responses, params.rows, probe.seed, 0)
    options = params.model_dump(include={"alignment", "local_window", "top_k", "fixed_k", "support"})
    batches = systems.model_dump(include={"micro_batch", "share_prompts"})

    def measure(responses: Sequence[Response], rows: Sequence[tuple[int, int]]) -> Statistics:
        return measure_responses(model, responses, layers=layers, rows=rows, **batches, **options)

    with (
        kept_parts() as place,
        Progress("tokens", total=len(probe.responses), begun=lambda: place.kept) as progress,
    ):
        measured = measure_in_parts(
            measure,
            probe.responses,
            rows,
            layers,
            **batches,
            place=place,
            facts=options | {"layers": layers, "policy": policy_facts(args.policy)},
            report=progress.update,
            count=progress.count,
            processes=systems.processes,
        )
    where: dict[str, Any] = {"run": probe.run, "seed": probe.seed, "step": 0}
    write_step(args.out, "tokens", tokens.SCHEMA, probe.token_columns(measured), **where)
    write_manifest(args.out)
    write_step(
        args.attention, "attention", attention.SCHEMA, attention_columns(measured, probe.responses, layers), **where
    )
    write_step(args.attention, "attention_rows", attention_rows.SCHEMA, row_columns(measured, rows, layers), **where)
    write_manifest(args.attention)


if __name__ == "__main__":
    run(main)
