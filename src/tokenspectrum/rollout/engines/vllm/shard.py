"""One vLLM engine in a process of its own: it takes requests and returns sampled tokens, until the other end closes.

Messages are pickled between two processes of one program, over a socket that nobody else holds.  Knows vLLM and lists
of token ids.  Knows no prompt ids, no tables and no other shards.
"""

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any


@dataclass(frozen=True)
class EngineOptions:
    """How to start vLLM."""

    policy: str
    device: str
    dtype: str
    tensor_parallel: int
    gpu_memory_utilization: float
    max_tokens: int  # of prompt and response together
    max_sequences: int
    stall_timeout: float  # seconds of silence after which the owner gives this process up


@dataclass(frozen=True)
class Request:
    """One response to sample; `key` is the owner's."""

    key: int
    token_ids: tuple[int, ...]
    seed: int
    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[int, ...]
    heat: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Sampled:
    """The outcome of a request, with vLLM's own word for how it ended."""

    key: int
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str | None


def environment(options: EngineOptions, devices: list[str]) -> dict[str, str]:
    """Variables that vLLM reads when it is imported."""
    # The engine runs in this process, so that its errors arrive here and nothing lives longer than it.
    chosen = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if options.device == "cuda":
        return chosen | {"CUDA_VISIBLE_DEVICES": ",".join(devices)}
    # Compiling costs more than it saves here; threads are the scheduler's to place.
    return chosen | {"TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_HOST_IP": "127.0.0.1"}


def start(options: EngineOptions) -> Any:
    """A vLLM engine on this process's devices."""
    from vllm import LLM

    from tokenspectrum.rollout.engines.vllm.heat import HeatProcessor

    return LLM(
        model=options.policy,
        skip_tokenizer_init=True,
        trust_remote_code=False,
        dtype=options.dtype,
        tensor_parallel_size=options.tensor_parallel,
        gpu_memory_utilization=options.gpu_memory_utilization,
        max_model_len=options.max_tokens,
        max_num_seqs=options.max_sequences,
        # After a part of a prompt vLLM samples a token, drops it, and sets the request's random generator back.  A
        # CPU's generator cannot be set back, so on a CPU a prompt is read in one piece.
        enable_chunked_prefill=options.device == "cuda",
        max_num_batched_tokens=max(8192, options.max_tokens, options.max_sequences),
        enforce_eager=options.device == "cpu",
        # Log-probabilities of the full vocabulary at temperature 1, before top-p.
        logprobs_mode="raw_logprobs",
        # Nothing of the checkpoint changes how we sample.
        generation_config="vllm",
        # It leaves requests alone that carry no heat.
        logits_processors=[HeatProcessor],
    )


def answer(engine: Any, requests: list[Request], tell: Callable[[int], None]) -> list[Sampled]:
    """The responses in the order of the requests.  After each step `tell` gets the number of finished ones."""
    from vllm import SamplingParams, TokensPrompt

    from tokenspectrum.rollout.engines.vllm.heat import KEY

    params = [
        SamplingParams(
            seed=request.seed,
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            stop_token_ids=list(request.stop),
            logprobs=0,
            detokenize=False,
            extra_args=None if request.heat is None else {KEY: list(request.heat)},
        )
        for request in requests
    ]
    prompts = [TokensPrompt(prompt_token_ids=list(request.token_ids)) for request in requests]
    done = 0

    def step() -> list[Any]:
        nonlocal done
        outputs = type(engine.llm_engine).step(engine.llm_engine)
        done += sum(output.finished for output in outputs)
        tell(done)
        return outputs

    # generate calls this in a loop.  Its progress bar sees only finished requests, and a long request takes minutes.
    engine.llm_engine.step = step
    outputs = engine.generate(prompts, params, use_tqdm=False)
    return [_sampled(request, output.outputs[0]) for request, output in zip(requests, outputs, strict=True)]


def _sampled(request: Request, output: Any) -> Sampled:
    tokens = tuple(output.token_ids)
    chosen: list[Mapping[int, Any]] = output.logprobs or []
    # Float noise may make the log-probability of a sure token a little larger than 0.
    logprobs = tuple(min(0.0, at[token].logprob) for at, token in zip(chosen, tokens, strict=True))
    return Sampled(request.key, tokens, logprobs, output.finish_reason)


def teller(connection: Connection, seconds: float) -> Callable[[int], None]:
    """A function that sends a number as progress: the first one, and then at most one every `seconds`."""
    told = -math.inf

    def tell(done: int) -> None:
        nonlocal told
        if time.monotonic() - told >= seconds:
            connection.send(("progress", done))
            told = time.monotonic()

    return tell


def serve(connection: Connection) -> None:
    """Read options and then lists of requests.  Answer each by ("ready" | "sampled" | "failed", what).

    ("progress", n) may come before an answer.
    """
    try:
        options = connection.recv()
        engine = start(options)
    except Exception as e:  # whatever vLLM raises goes to the owner, who ends the stage with it
        connection.send(("failed", f"{type(e).__name__}: {e}"))
        return
    connection.send(("ready", None))
    while True:
        try:
            requests = connection.recv()
        except EOFError:
            return
        try:
            reply = ("sampled", answer(engine, requests, teller(connection, min(1.0, options.stall_timeout / 4))))
        except Exception as e:
            reply = ("failed", f"{type(e).__name__}: {e}")
        connection.send(reply)
        if reply[0] == "failed":
            return


def end_with(owner: int) -> None:
    """End this process soon after its owner has ended for any reason, even if vLLM is busy."""
    while os.getppid() == owner:
        time.sleep(1.0)
    os._exit(1)


def main() -> None:
    """Serve the socket whose number is the first argument, for the process whose id is the second."""
    threading.Thread(target=end_with, args=(int(sys.argv[2]),), daemon=True).start()
    serve(Connection(int(sys.argv[1])))
    # vLLM leaves threads that would keep this process alive.  The owner has all results by now.
    sys.stdout.flush()
    os._exit(0)
