"""One sampler of benchmarks/sampling.py in a process of its own: reads a JSON argument, prints a line of JSON last.

Knows how each sampler is called.  Knows no table.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.policies import PROMPTS

if TYPE_CHECKING:
    from tokenspectrum.rollout.types import Prompt, Sampling

# A pass: samples with this seed and returns the number of tokens.
Pass = Callable[[int], int]


def ours(policy: Path, prompts: "list[Prompt]", sampling: "Sampling") -> Pass:
    """The local engine, on portable arithmetic."""
    import torch

    from tokenspectrum.policy.load import load_policy
    from tokenspectrum.portable.kernels import install
    from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine

    torch.set_num_threads(1)
    install()
    engine = TransformersEngine(*load_policy(policy), batch_rows=1024)
    return lambda seed: sum(len(r.token_ids) for r in engine.generate(prompts, sampling, seed, 0))


def generate(policy: Path, prompts: "list[Prompt]", sampling: "Sampling") -> Pass:
    """transformers' generate."""
    import torch
    from transformers import GenerationConfig

    from tokenspectrum.policy.load import load_policy
    from tokenspectrum.rollout.engines.transformers.engine import left_padded

    torch.set_num_threads(1)
    model, tokenizer = load_policy(policy)
    ids_PT, mask_PT = left_padded([p.token_ids for p in prompts])
    config = GenerationConfig(
        do_sample=True,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=0,
        max_new_tokens=sampling.max_tokens,
        num_return_sequences=sampling.n,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )

    def once(seed: int) -> int:
        torch.manual_seed(seed)
        with torch.inference_mode():
            out = model.generate(input_ids=ids_PT, attention_mask=mask_PT, generation_config=config)
        end_RT = out[:, ids_PT.shape[1] :] == tokenizer.eos_token_id
        return int((end_RT.cumsum(1) - end_RT.long() == 0).sum())

    return once


def vllm(policy: Path, prompts: "list[Prompt]", sampling: "Sampling") -> Pass:
    """vLLM on the CPU, its engine in this process, as a shard of engine `vllm` starts it."""
    from tokenspectrum.policy.load import load_tokenizer
    from tokenspectrum.rollout.engines.vllm.shard import EngineOptions, Request, answer, environment, start
    from tokenspectrum.rollout.stop import stop_ids_in

    longest = max(len(p.token_ids) for p in prompts) + sampling.max_tokens
    options = EngineOptions(str(policy), "cpu", "float32", 1, 0.1, longest, 256, 300.0)
    os.environ |= environment(options, [])
    engine, stop = start(options), tuple(sorted(stop_ids_in(policy, load_tokenizer(policy))))

    def once(seed: int) -> int:
        requests = [
            Request(p * sampling.n + i, prompt.token_ids, seed * 1000 + p * sampling.n + i, sampling.temperature,
                    sampling.top_p, sampling.max_tokens, stop)
            for p, prompt in enumerate(prompts)
            for i in range(sampling.n)
        ]  # fmt: skip
        return sum(len(s.token_ids) for s in answer(engine, requests, lambda done: None))

    return once


def main() -> None:
    facts = json.loads(sys.argv[1])
    if facts["who"] == "ours":
        import tokenspectrum.portable  # noqa: F401  before any library is loaded
    from tokenspectrum.policy.load import load_tokenizer
    from tokenspectrum.rollout.questions import encode_questions, read_questions
    from tokenspectrum.rollout.types import Sampling

    n_prompts, samples, tokens, passes, warm_ups = facts["size"]
    policy = Path(facts["policy"])
    questions = next(iter(read_questions(PROMPTS).values()))[:n_prompts]
    prompts = encode_questions(questions, load_tokenizer(policy), 512)
    once = globals()[facts["who"]](policy, prompts, Sampling(1.0, 0.95, tokens, samples))
    found = []
    for i in range(warm_ups + passes):
        started = time.process_time()
        counted = once(i)
        if i >= warm_ups:
            found.append((counted / (time.process_time() - started), counted))
    rate = statistics.median(rate for rate, _ in found)
    print(json.dumps({"tokens": sum(n for _, n in found), "passes": passes, "tokens_a_cpu_second": f"{rate:.5g}"}))
    sys.stdout.flush()
    os._exit(0)  # vLLM leaves threads that would keep this process alive


if __name__ == "__main__":
    main()
