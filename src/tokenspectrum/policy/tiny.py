"""Train the tiny base policy: a Qwen3 from scratch on synthetic solutions, one thread, same seed same bytes.

A policy learns its task suddenly, when attention learns to find the operands.  This may not happen, so `check.py`
checks the result.  Knows the corpus and the model.  Does not know what the policy is for.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from tokenspectrum.params.policy import Shape, TinyPolicy
from tokenspectrum.policy.chat import encode_prompt
from tokenspectrum.prompts.synthetic import Mix, corpus

# Batches are cut from a pool of this many batches, sorted by length, so that a batch has little padding.
_POOL_BATCHES = 8
_GRADIENT_CLIP = 1.0


def build_model(shape: Shape, tokenizer: PreTrainedTokenizerBase, seed: int) -> Qwen3ForCausalLM:
    """A freshly initialised Qwen3 with tied embeddings and one embedding row for each token of the tokenizer."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=shape.max_positions,
        initializer_range=shape.init_std,
        tie_word_embeddings=True,
        # False here would silently make `generate` recompute every prefix, an order of magnitude slower.
        use_cache=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(config)
    layers: Any = model.model.layers
    for layer in layers:
        layer.self_attn.q_norm.weight.data.fill_(shape.qk_norm)
        layer.self_attn.k_norm.weight.data.fill_(shape.qk_norm)
    return model


@dataclass(frozen=True)
class Example:
    """Token ids of a prompt and its solution, end of sequence included; the first `n_prompt` are the prompt's."""

    ids: list[int]
    n_prompt: int


def _batches(
    params: TinyPolicy, seed: int, tokenizer: PreTrainedTokenizerBase, held_out: Collection[str]
) -> Iterator[tuple[list[Example], float]]:
    """Endless batches, each with the mean number of solution tokens of its pool's batches."""
    size, given = params.training.batch, params.corpus
    mix = Mix(given.k_max, given.k_mean, given.guess, given.guess_per_step, given.unboxed, given.large)
    # A guess only teaches when to guess.  So worked solutions come first, and the policy learns arithmetic earlier.
    n_worked = size * _POOL_BATCHES * round(given.guess_from * params.training.steps / _POOL_BATCHES)
    worked = corpus(seed, replace(mix, guess=0.0, guess_per_step=0.0), held_out, "worked")
    pairs = chain(islice(worked, n_worked), corpus(seed, mix, held_out))
    order = torch.Generator().manual_seed(seed)
    while True:
        pool = []
        for text, solution in islice(pairs, size * _POOL_BATCHES):
            prompt, _ = encode_prompt(tokenizer, [{"role": "user", "content": text}], params.shape.max_positions)
            response = tokenizer.encode(solution, add_special_tokens=False)
            pool.append(Example([*prompt, *response, tokenizer.eos_token_id], len(prompt)))
        pool.sort(key=lambda example: len(example.ids))
        n_tokens = sum(len(example.ids) - example.n_prompt for example in pool) / _POOL_BATCHES
        for i in torch.randperm(_POOL_BATCHES, generator=order).tolist():
            yield pool[i * size : (i + 1) * size], n_tokens


def response_loss(model: Qwen3ForCausalLM, batch: list[Example], n_tokens: float) -> torch.Tensor:
    """Summed cross-entropy of the solutions' tokens over `n_tokens`; prompts and padding do not count.

    The sum is divided by the pool's mean and not by the batch's own number of tokens, so every token has the same
    weight.  Batches are sorted by length, and short solutions are plain guesses.  With the batch's own number, the
    first token of a guess would weigh far more, and the policy would guess more often than its corpus.
    """
    longest = max(len(example.ids) for example in batch)
    ids_BT = torch.zeros(len(batch), longest, dtype=torch.long)
    target_BT = torch.zeros(len(batch), longest, dtype=torch.bool)
    for row, example in enumerate(batch):
        ids_BT[row, : len(example.ids)] = torch.tensor(example.ids)
        target_BT[row, example.n_prompt : len(example.ids)] = True
    # Padding is on the right, so causal attention never sees it.  Logits are computed only where they are needed.
    hidden_BTC = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
    logits_NV = model.lm_head(hidden_BTC[:, :-1][target_BT[:, 1:]])
    return F.cross_entropy(logits_NV, ids_BT[target_BT], reduction="sum") / n_tokens


def learning_rate(params: TinyPolicy, step: int) -> float:
    """Rate of 0-based `step`: linear warm-up, plateau, linear decay that would reach 0 one step after the last."""
    training = params.training
    up = (step + 1) / training.warmup if training.warmup else 1.0
    falling = training.decay * training.steps
    down = (training.steps - step) / falling if falling else 1.0
    return training.lr * min(1.0, up, down)


def train_tiny(
    params: TinyPolicy,
    seed: int,
    tokenizer: PreTrainedTokenizerBase,
    held_out: Collection[str],
    on_step: Callable[[int, float], None] | None = None,
) -> Qwen3ForCausalLM:
    """The trained base policy, never having seen a problem text in `held_out`; `on_step(done, loss)` reports.

    `seed` is of the initial weights and of the corpus.
    """
    model = build_model(params.shape, tokenizer, seed).train()
    training = params.training
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.lr, betas=(0.9, training.beta2), weight_decay=training.weight_decay, fused=True
    )
    for step, (batch, n_tokens) in enumerate(islice(_batches(params, seed, tokenizer, held_out), training.steps)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(params, step)
        loss = response_loss(model, batch, n_tokens)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _GRADIENT_CLIP)
        optimizer.step()
        if on_step is not None:
            on_step(step + 1, loss.item())
    return model.eval()
