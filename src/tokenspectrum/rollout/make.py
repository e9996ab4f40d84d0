"""The rollout engine that params name, on a policy folder.  Knows the engines by name, not how they sample."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from transformers import PreTrainedTokenizerBase

from tokenspectrum.errors import UserError
from tokenspectrum.policy.load import load_policy, load_tokenizer
from tokenspectrum.rollout.engine import RolloutEngine
from tokenspectrum.systems.params import SystemsParams

# Batches that wait for each shard: the end of a call, when its batch thins out, comes this much less often.
_VLLM_WAVES = 8


@contextmanager
def make_engine(
    name: Literal["transformers", "vllm"], policy: Path, systems: SystemsParams, *, dtype: str, max_tokens: int
) -> Iterator[tuple[RolloutEngine, PreTrainedTokenizerBase]]:
    """(engine, the policy's tokenizer); `max_tokens` of prompt and response together.  Leaving it ends the engine."""
    # Imported here: a stage has the folder of the engine that its params select, and no other.
    if name == "transformers":
        from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine

        model, tokenizer = load_policy(policy, dtype=dtype, device=systems.device)
        yield TransformersEngine(model, tokenizer, batch_rows=systems.generate_batch), tokenizer
        return
    from tokenspectrum.rollout.engines.vllm.engine import VllmEngine

    if systems.vllm is None:
        raise UserError("systems.vllm: null, but an engine is vllm; see presets/tiny.yaml")
    sequences = systems.generate_batch
    with VllmEngine(policy, systems.vllm, dtype=dtype, max_tokens=max_tokens, max_sequences=sequences) as engine:
        yield engine, load_tokenizer(policy)


def prompts_at_once(name: Literal["transformers", "vllm"], systems: SystemsParams, n: int) -> int:
    """Prompts of `n` responses to hand over together.

    The transformers engine decodes what it is given; vLLM fills its batches from a queue, which should not run dry.
    """
    waves = 1 if name == "transformers" else _VLLM_WAVES * systems.vllm.shards
    return max(1, waves * systems.generate_batch // n)
