"""The probe of the base policy: which training prompts are in it, and how shards divide it.

Every shard makes the same choice as the stage that joins the shards.  Knows no policy and no tables.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from tokenspectrum.counter import stream_key
from tokenspectrum.errors import UserError
from tokenspectrum.params.rollouts import RolloutsParams
from tokenspectrum.rollout.questions import Question, read_questions

# What the tables call the base policy.
BASE = "base"


def read_probe(root: Path, params: RolloutsParams) -> list[Question]:
    """The probe among the problems of a folder of the prompts stage, in the probe's order."""
    return choose(list(itertools.chain.from_iterable(read_questions(root).values())), params)


def choose(questions: Sequence[Question], params: RolloutsParams) -> list[Question]:
    """The first prompts of the file, or those of the smallest hash of (seed, prompt), in that order."""
    if params.choose == "hash":
        questions = sorted(questions, key=lambda q: stream_key("probe", params.seed, 0, q.prompt_id, 0))
    return list(questions[: params.prompts])


def dealt(probe: Sequence[Question], shard: int, shards: int) -> list[Question]:
    """The prompts of `shard` (1 to `shards`).  Shards get prompts in turn.  A shard without prompts is a UserError."""
    mine = list(probe[shard - 1 :: shards])
    if not mine:
        raise UserError(
            f"rollouts.shards: nothing is left for shard {shard} of {shards}, the probe has {len(probe)} prompts; "
            "list fewer shards"
        )
    return mine
