"""Engine `transformers` on a policy folder.  Knows the params that it takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.positions import check_positions
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.systems.params import SystemsParams


@contextmanager
def start(
    policy: Path, systems: SystemsParams, *, dtype: str, max_tokens: int
) -> Iterator[tuple[TransformersEngine, PreTrainedTokenizerBase]]:
    """(engine, the policy's tokenizer).  A UserError before any work if the policy has no room for `max_tokens`."""
    torch.set_num_threads(systems.threads)  # of each process; the job has a core for all of theirs
    model, tokenizer = load_policy(policy, dtype=dtype, device=systems.device)
    check_positions(model.config.get_text_config(), max_tokens, "sampling")
    rows, shares = systems.generate_batch, systems.share_prompts
    yield TransformersEngine(model, tokenizer, batch_rows=rows, share_prompts=shares), tokenizer


def processes(systems: SystemsParams) -> int:
    """As many as the params say."""
    return systems.processes


def at_once(systems: SystemsParams) -> int:
    """How many responses to give the engine at once: it decodes them all together."""
    return systems.generate_batch
