"""Small runs whose bytes are known: a policy training, a rollout, its scores, a DAPO step and an evaluation.

A machine on which a hash differs computes otherwise than the one that the tables were made on.  Knows the library
functions that the stages call; reads no params and writes no file.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM

from tokenspectrum.evaluation.mean_at_k import sample_benchmark
from tokenspectrum.params.policy import Corpus, Shape, TinyPolicy, Training
from tokenspectrum.policy.tiny import train_tiny
from tokenspectrum.policy.tokenizer import build_tokenizer
from tokenspectrum.prompts.synthetic import Mix, corpus
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.parts import Place
from tokenspectrum.rollout.questions import Question, encode_questions
from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Response, Sampling
from tokenspectrum.stages.entry import run
from tokenspectrum.training.backends.local.update import accumulate_gradient, take_step
from tokenspectrum.training.dapo import Clip
from tokenspectrum.training.record import MiniBatch

# sha256 by probe, made once by `python -m tokenspectrum.portable.probes`.
SHAPES = ((200, 653), (653, 649))
KNOWN = Path(__file__).with_name("known.json")
SEED = 1
POLICY = TinyPolicy(
    kind="tiny",
    shape=Shape(
        layers=3,
        hidden=64,
        heads=4,
        kv_heads=2,
        head_dim=32,
        intermediate=128,
        max_positions=256,
        init_std=0.1,
        qk_norm=1.5,
    ),
    corpus=Corpus(k_max=8, k_mean=2.0, guess=0.32, guess_per_step=0.045, unboxed=0.12, large=0.06, guess_from=0.55),
    training=Training(steps=24, batch=8, lr=0.004, warmup=8, decay=0.3, beta2=0.98, weight_decay=0.01),
)
SAMPLING = Sampling(temperature=1.0, top_p=0.95, max_tokens=24, n=4)


def _hash(arrays: Sequence[torch.Tensor | np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        values = array.detach().numpy() if isinstance(array, torch.Tensor) else array
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def questions(count: int) -> list[Question]:
    """Problems of the synthetic corpus; the gold answers are made up."""
    pairs = corpus(SEED, Mix(3, 2.0, 0.0, 0.0, 0.0, 0.06), set(), "probe")
    texts = [next(pairs)[0] for _ in range(count)]
    return [Question(f"p{i}", [{"role": "user", "content": text}], str(i), "probe") for i, text in enumerate(texts)]


def dapo_step(
    model: Qwen3ForCausalLM, responses: Sequence[Response], logprob_N: torch.Tensor
) -> Iterator[torch.Tensor]:
    """One DAPO step with made-up advantages: the parameters after it, and every token's ratio and clipped term."""
    owner_N = torch.arange(len(responses)).repeat_interleave(torch.tensor([len(r.token_ids) for r in responses]))
    advantage_N = torch.tensor([(-1.0) ** r * (1 + r / 8) for r in range(len(responses))])[owner_N]
    weight_N = (torch.arange(len(owner_N)) % 5 != 0).float()
    batch = MiniBatch(
        responses=responses,
        old_logprob_N=logprob_N + 0.01 * advantage_N,
        advantage_N=advantage_N,
        weight_N=weight_N,
        denominator="selected",
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    model.train()
    terms = accumulate_gradient(model, batch, Clip(0.2, 0.28, 10.0), micro_batch=8)
    take_step(model, optimizer, terms, 1.0)
    model.eval()
    yield from (*model.state_dict().values(), terms.ratio_N, terms.loss_N)


def _tensors(scores: Statistics) -> Iterator[torch.Tensor]:
    yield from (scores.logprob_N, scores.predictive_entropy_N)
    for layer in sorted(scores.attention):
        values = vars(scores.attention[layer])
        yield from (values[name] for name in sorted(values) if values[name] is not None)


def numbers() -> str:
    """sha256 of what results tables are made with: NumPy's functions, sums and linear algebra in float64."""
    x = np.linspace(-2, 2, 3001)
    a = np.sin(np.arange(3000.0)).reshape(60, 50)
    solved = np.linalg.lstsq(a[:, :5], a[:, 7], rcond=None)[0]
    return _hash([np.exp(x), np.log(np.abs(x) + 0.1), np.array([x.sum(), x.std()]), a.T @ a, a[0] @ a.T, solved])


def products() -> str:
    """sha256 of products that are large enough for AVX-512, in both orders of memory.  Rows are no whole twelves."""
    a, b = (torch.from_numpy(np.sin(np.arange(m * n) * 0.7).astype(np.float32).reshape(m, n)) for m, n in SHAPES)
    return _hash([torch.mm(a, b), torch.mm(b.T, a.T)])


def run_probes() -> dict[str, str]:
    """sha256 of each probe on this machine, in some five CPU-seconds."""
    tokenizer: PreTrainedTokenizerBase = build_tokenizer()
    model = train_tiny(POLICY, SEED, tokenizer, set())
    found = {"policy": _hash(list(model.state_dict().values()))}
    engine = TransformersEngine(model, tokenizer)
    responses = engine.generate(encode_questions(questions(4), tokenizer, 96), SAMPLING, seed=SEED, step=0)
    sampled = [np.array(row) for r in responses for row in (r.token_ids, r.logprobs)]
    found["rollout"] = _hash(sampled)
    scores = measure_responses(
        model,
        responses,
        layers=[0, 2],
        alignment="decision",
        local_window=8,
        micro_batch=8,
        top_k=4,
        fixed_k=8,
        support=True,
    )
    found["scores"] = _hash(list(_tensors(scores)))
    found["dapo"] = _hash(list(dapo_step(model, responses, scores.logprob_N)))
    judged = sample_benchmark(
        engine,
        tokenizer,
        questions(6),
        Sampling(1.0, 0.7, 24, 2),
        SEED,
        max_prompt_tokens=96,
        integer_sources=(),
        chunk=6,
        place=Place(),
        facts={},
    )
    found["evaluation"] = hashlib.sha256(repr(judged).encode()).hexdigest()
    return found | {"numbers": numbers(), "products": products()}


def differing() -> list[str]:
    """The probes whose hash is not the known one; empty on a machine that computes the same bytes."""
    known = json.loads(KNOWN.read_text())
    return [name for name, found in run_probes().items() if found != known[name]]


def main() -> None:
    """Write this machine's hashes as the known ones: after a change that is meant to change bytes, on any machine."""
    KNOWN.write_text(json.dumps(run_probes(), indent=1) + "\n")


if __name__ == "__main__":
    run(main)
