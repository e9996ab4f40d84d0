"""Stage `signals`: tokens of the probe as information peaks, functional importance and cross-rollout variance see them.

Out: the table signals.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tokenspectrum.counter import hash_bits, stream_key
from tokenspectrum.errors import UserError
from tokenspectrum.lenses.branches import Success, successes, variance
from tokenspectrum.lenses.importance import answer_span, importance
from tokenspectrum.lenses.information import hsic, states
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.dtype import PolicyDtype
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.signals import SignalsParams, SignalsSection
from tokenspectrum.params.values import Name
from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.positions import positions_of
from tokenspectrum.policy.text import response_texts
from tokenspectrum.reward.boxed import verify
from tokenspectrum.reward.gold import decode_gold
from tokenspectrum.rollout.make import make_engine, processes_of
from tokenspectrum.rollout.probed import Probed
from tokenspectrum.rollout.questions import read_questions
from tokenspectrum.rollout.types import Response, Sampling
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.progress import Progress
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.tables import signals
from tokenspectrum.tokenlog.writer import write_manifest, write_step


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "rollouts": "folder of the base policy's responses",
        "prompts": "folder of the training prompts",
        "policy": "folder of the base policy",
        "out": "folder to write the table into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    args = parser.parse_args(argv)
    section, sampling, reward, systems, engine_name, dtype = read_sections(
        signals=SignalsSection,
        sampling=SamplingParams,
        reward=RewardParams,
        systems=SystemsParams,
        **{"rollouts.engine": Name, "train.dtype": PolicyDtype},
    )
    params = section.root
    if params is None:
        raise UserError("signals: null, so nothing is asked for; give it responses, tokens and rollouts")
    probed = Probed(args.rollouts)
    asked = {q.prompt_id: q for part in read_questions(args.prompts).values() for q in part}
    model, tokenizer = load_policy(args.policy, device=systems.device)
    layer = resolve_layer(params.layer, model.config.get_text_config().num_hidden_layers)
    chosen = choose(probed.responses, tokenizer, params, probed.seed)
    how = Sampling(sampling.temperature, sampling.top_p, sampling.max_response_tokens, params.rollouts)
    room = positions_of(model.config.get_text_config())
    # A continuation may be as long as a response, where the policy has the positions for it.
    longest = sampling.max_prompt_tokens + 2 * sampling.max_response_tokens
    longest = longest if room is None else min(longest, room)
    columns: dict[str, list[Any]] = {name: [] for name in signals.SCHEMA.names}
    with (
        make_engine(engine_name.root, args.policy, systems, dtype=dtype.root, max_tokens=longest) as (engine, _),
        Progress("signals", total=len(chosen)) as progress,
    ):

        def look(r: int) -> dict[str, list[Any]]:
            response = probed.responses[r]
            question = asked[response.prompt_id]

            def right(whole: Sequence[Sequence[int]]) -> list[bool]:
                texts = response_texts(tokenizer, whole)
                source = question.data_source
                return [verify(t, question.ground_truth, source, reward.integer_sources).correct for t in texts]

            positions = chosen_positions(response, params.tokens, probed.seed)
            cuts = sorted({cut for t in positions for cut in (t, t + 1)})
            found = outcomes(r, positions, successes(engine, response, cuts, how, probed.seed, right, room))
            gold = decode_gold(question.ground_truth).answers[0]
            answer = tokenizer.encode(f"\\boxed{{{gold}}}", add_special_tokens=False)
            prompt, own = response.prompt_token_ids, response.token_ids
            state_TD = states(model, [*prompt, *own], layer)[[len(prompt) + t - 1 for t in positions]]
            found["information"] = hsic(state_TD, states(model, answer, layer)[-1], params.sigma).tolist()
            found["importance"] = [None] * len(positions)
            if (span := answer_span(tokenizer, own)) is not None:
                found["importance"] = importance(model, prompt, own, positions, span, systems.micro_batch)
            return found

        each = side_by_side(look, chosen, processes_of(engine_name.root, systems))
        for done, found in enumerate(each, 1):
            for name, values in found.items():
                columns[name] += values
            progress.update(done)
    write_step(args.out, "signals", signals.SCHEMA, columns, run=probed.run, seed=probed.seed, step=0)
    write_manifest(args.out)


def choose(responses: Sequence[Response], tokenizer: Any, params: SignalsParams, seed: int) -> list[int]:
    """Indices of the responses to look at, ascending: those with an answer first, and of these by a hash."""
    keys = np.array([stream_key("lenses", seed, 0, r.prompt_id, r.sample) for r in responses], np.uint64)
    order = np.argsort(hash_bits(keys, np.zeros(1)), kind="stable").tolist()
    answered: list[int] = []
    for r in order:
        if len(answered) == params.responses:
            break
        if answer_span(tokenizer, responses[r].token_ids) is not None:
            answered.append(r)
    others = [r for r in order if r not in set(answered)]
    return sorted([*answered, *others][: params.responses])


def chosen_positions(response: Response, count: int, seed: int) -> list[int]:
    """`count` positions of the response (all, if there are fewer), ascending, chosen by a hash."""
    n = len(response.token_ids)
    key = np.array([stream_key("lenses", seed, 0, response.prompt_id, response.sample)], np.uint64)
    return sorted(np.argsort(hash_bits(key, np.arange(1, n + 1)), kind="stable")[:count].tolist())


def outcomes(r: int, positions: Sequence[int], of: Mapping[int, Success]) -> dict[str, list[Any]]:
    """Columns of the places, and of what continuations say of each."""
    pairs = [(of[t], of[t + 1]) for t in positions]
    return {
        "response_id": [r] * len(positions),
        "position": list(positions),
        "before": [before.share for before, _ in pairs],
        "after": [after.share for _, after in pairs],
        "variance": [variance(before, after) for before, after in pairs],
    }


if __name__ == "__main__":
    run(main)
