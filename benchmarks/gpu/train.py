"""A few DAPO steps of a tiny policy on the device: sample, score, weigh, update; and its gradient beside a CPU's.

The parts are the pipeline's own functions.  The reward is the share of a response's tokens that are below 20, so it can
be learnt within a few steps.  The rule is the fifth of the tokens with the highest predictive entropy.

Knows the functions of a step.  Knows no files, and not the loop that calls them in a run.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from transformers import PreTrainedModel

from benchmarks.gpu.policy import TINY, make
from tokenspectrum.rollout.advantage import group_advantages
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.training.backends.local.logprobs import response_logprobs
from tokenspectrum.training.backends.local.padded import padded_batches
from tokenspectrum.training.dapo import Clip, clipped_loss, weighted_loss

CLIP = Clip(0.2, 0.28, 10.0)
KEPT = 0.2
SCORING = {"layers": [1], "alignment": "decision", "local_window": 8, "micro_batch": 64}
# Prompts, samples, tokens of a response, steps.
SIZE = {"cuda": (16, 8, 64, 12), "cpu": (2, 4, 12, 2)}


def measure(device: str) -> Iterator[dict[str, object]]:
    """Rows: the gradient's difference from the CPU's, milliseconds of a step by part, and the reward at both ends."""
    torch.backends.cuda.matmul.allow_tf32 = False
    n_prompts, samples, tokens, steps = SIZE[device]
    model = make(TINY, device, torch.float32, 256)
    prompts = [Prompt(f"{i:016x}", tuple(range(20 + i, 40 + i))) for i in range(n_prompts)]
    # The engine asks a tokenizer for nothing but the token that ends a response.
    engine = TransformersEngine(model, SimpleNamespace(eos_token_id=0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    times: dict[str, list[float]] = {"sample": [], "score": [], "update": []}
    rewards = []
    for step in range(steps):
        responses, seconds = timed(
            lambda s=step: engine.generate(prompts, Sampling(1.0, 1.0, tokens, samples), 0, s), device
        )
        times["sample"].append(seconds)
        scored, seconds = timed(lambda r=responses: measure_responses(model, r, **SCORING), device)
        times["score"].append(seconds)
        lengths_R = torch.tensor([len(r.token_ids) for r in responses])
        reward_R = torch.tensor([sum(t < 20 for t in r.token_ids) / len(r.token_ids) for r in responses])
        rewards.append(float(reward_R.mean()))
        group_R = torch.arange(n_prompts).repeat_interleave(samples)
        advantage_N = group_advantages(reward_R, group_R).repeat_interleave(lengths_R)
        cut = scored.predictive_entropy_N.quantile(1 - KEPT)
        batch = (responses, scored.logprob_N, advantage_N * (scored.predictive_entropy_N >= cut))
        if step == 0:
            yield {"what": "gradient, relative difference from the CPU's", "value": f"{beside_cpu(model, batch):.2g}"}

        def update(batch: tuple = batch) -> None:
            leave_gradient(model, *batch)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

        times["update"].append(timed(update, device)[1])
    for part, seconds in times.items():
        ordered = sorted(seconds[1:])  # the first step compiles and warms up
        yield {"what": f"{part}, ms a step", "value": f"{1e3 * ordered[len(ordered) // 2]:.4g}"}
    yield {"what": "reward of the first step", "value": f"{rewards[0]:.3f}"}
    yield {"what": f"reward of step {steps}", "value": f"{rewards[-1]:.3f}"}


def leave_gradient(
    model: PreTrainedModel, responses: Sequence[Response], old_logprob_N: torch.Tensor, pull_N: torch.Tensor
) -> None:
    """Leave in `.grad` the gradient of DAPO's loss over all tokens; pull_N = weight x advantage."""
    model.zero_grad()
    for padded in padded_batches(responses, torch.arange(len(responses)), 64):
        logprob_N = response_logprobs(model, padded).cpu()
        term_N = clipped_loss(logprob_N, old_logprob_N[padded.token_N], pull_N[padded.token_N], CLIP)
        weighted_loss(term_N, torch.ones_like(term_N), float(len(pull_N))).backward()


def beside_cpu(model: PreTrainedModel, batch: tuple) -> float:
    """|g - g'| / |g'| of the gradient here and that of a copy of the model on the CPU."""
    other = copy.deepcopy(model).cpu()
    for each in (model, other):
        leave_gradient(each, *batch)
    found, wanted = (torch.cat([p.grad.flatten().cpu().double() for p in m.parameters()]) for m in (model, other))
    return float((found - wanted).norm() / wanted.norm())


def timed(call: Callable[[], Any], device: str) -> tuple[Any, float]:
    """What `call` returns, and its seconds on the clock once the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    found = call()
    if device == "cuda":
        torch.cuda.synchronize()
    return found, time.perf_counter() - started
