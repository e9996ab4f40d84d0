"""Engine `vllm` on a policy folder.  Knows the params that it takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from tokenspectrum.errors import UserError
from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.rollout.engines.vllm.engine import VllmEngine
from tokenspectrum.systems.params import SystemsParams, VllmSystems

# Batches for each shard in one call.  At the end of a call a batch gets small, so longer calls waste less.
_WAVES = 8


@contextmanager
def start(
    policy: Path, systems: SystemsParams, *, dtype: str, max_tokens: int
) -> Iterator[tuple[VllmEngine, PreTrainedTokenizerBase]]:
    """(engine, the policy's tokenizer); leaving the block ends the engine's processes."""
    sequences = systems.generate_batch
    with VllmEngine(policy, _of(systems), dtype=dtype, max_tokens=max_tokens, max_sequences=sequences) as engine:
        yield engine, load_tokenizer(policy)


def processes(systems: SystemsParams) -> int:
    """One: vLLM has processes of its own."""
    return 1


def at_once(systems: SystemsParams) -> int:
    """How many responses to give the engine at once: vLLM fills its batches from a queue, which should not be empty."""
    return _WAVES * _of(systems).shards * systems.generate_batch


def _of(systems: SystemsParams) -> VllmSystems:
    if systems.vllm is None:
        raise UserError("systems.vllm: null, but an engine is vllm; docs/params.md has its fields")
    return systems.vllm
