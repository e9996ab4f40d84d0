"""Stage `tokens`: log-probability, predictive entropy and attention statistics of the base policy's response tokens.

Out, as two folders: the table tokens; and the tables attention and attention_rows.  Weight, mini-batch, ratio and loss
are null, because nothing is trained at step 0.  A killed stage goes on after the last micro-batch that it measured.
Exit code 75: stopped by SIGTERM, and a part was kept.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.params.tokens import TokensParams
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.chosen import chosen_tokens
from tokenspectrum.rollout.columns import attention_columns, row_columns, sampled_columns
from tokenspectrum.rollout.measure import check_not_inert, longest_context, measure_responses
from tokenspectrum.rollout.measured_parts import measure_in_parts
from tokenspectrum.rollout.parts import kept_parts, policy_facts
from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Response
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.progress import Progress
from tokenspectrum.tables import attention, attention_rows, tokens
from tokenspectrum.tokenlog.reader import read_table
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
    probe = Probe(args.rollouts)
    check_not_inert(longest_context(probe.responses, params.alignment), params.top_k, params.fixed_k, "tokens")
    model, _ = load_policy(args.policy, device=systems.device)
    count = model.config.get_text_config().num_hidden_layers
    named = range(count) if params.layers == "all" else params.layers
    layers = sorted({resolve_layer(layer, count) for layer in named})
    rows = chosen_tokens(probe.responses, params.rows, probe.seed, 0)
    options = params.model_dump(include={"alignment", "local_window", "top_k", "fixed_k", "support"})

    def measure(responses: Sequence[Response], rows: Sequence[tuple[int, int]]) -> Statistics:
        return measure_responses(model, responses, layers=layers, rows=rows, micro_batch=systems.micro_batch, **options)

    with kept_parts() as place, Progress("tokens", total=len(probe.responses)) as progress:
        measured = measure_in_parts(
            measure,
            probe.responses,
            rows,
            layers,
            micro_batch=systems.micro_batch,
            place=place,
            facts=options | {"layers": layers, "policy": policy_facts(args.policy)},
            report=progress.update,
        )
    where: dict[str, Any] = {"run": probe.run, "seed": probe.seed, "step": 0}
    write_step(args.out, "tokens", tokens.SCHEMA, probe.token_columns(measured), **where)
    write_manifest(args.out)
    write_step(
        args.attention, "attention", attention.SCHEMA, attention_columns(measured, probe.responses, layers), **where
    )
    write_step(args.attention, "attention_rows", attention_rows.SCHEMA, row_columns(measured, rows, layers), **where)
    write_manifest(args.attention)


class Probe:
    """The base policy's rollouts, read back: responses for the scorer, and columns that the tables take as they are."""

    def __init__(self, root: Path) -> None:
        table = read_table(root, "responses", step=0).sort_by("response_id")
        drawn = read_table(root, "sampled", step=0).sort_by([("response_id", "ascending"), ("position", "ascending")])
        prompts = read_table(root, "prompt_tokens", step=0)
        prompt_ids = dict(zip(prompts["prompt_id"].to_pylist(), prompts["token_ids"].to_pylist(), strict=True))
        self.run, self.seed = table["run"][0].as_py(), table["seed"][0].as_py()
        self.lengths = table["n_tokens"].to_numpy()
        self.advantage_R = table["advantage"].to_numpy()
        if not np.array_equal(
            drawn["response_id"].to_numpy(), np.repeat(table["response_id"].to_numpy(), self.lengths)
        ):
            raise UserError(f"{root}: its sampled tokens are not those of its responses; run the rollouts stage again")
        ends = np.cumsum(self.lengths)
        ids, logprobs = drawn["token_id"].to_numpy(), drawn["rollout_logprob"].to_numpy()
        self.responses = [
            Response(
                prompt_id=row["prompt_id"],
                sample=row["sample"],
                prompt_token_ids=tuple(prompt_ids[row["prompt_id"]]),
                token_ids=tuple(ids[end - row["n_tokens"] : end].tolist()),
                logprobs=tuple(logprobs[end - row["n_tokens"] : end].tolist()),
                finish_reason=row["finish_reason"],
            )
            for row, end in zip(table.to_pylist(), ends, strict=True)
        ]

    def token_columns(self, measured: Statistics) -> dict[str, Any]:
        """Columns of the table `tokens`."""
        return {
            **sampled_columns(self.responses),
            "logprob": measured.logprob_N.numpy(),
            "predictive_entropy": measured.predictive_entropy_N.numpy(),
            "advantage": np.repeat(self.advantage_R, self.lengths),
        }


if __name__ == "__main__":
    run(main)
