"""Training of the tiny policy: loss, schedule, corpus order, and that it learns."""

import json
from itertools import islice
from typing import Any

import pytest
import torch

from tokenspectrum.params.policy import TinyPolicy
from tokenspectrum.policy import tiny
from tokenspectrum.policy.tiny import Example, build_model, learning_rate, response_loss, train_tiny
from tokenspectrum.policy.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
SHAPE = {
    "layers": 1,
    "hidden": 32,
    "heads": 2,
    "kv_heads": 1,
    "head_dim": 32,
    "intermediate": 32,
    "max_positions": 256,
    "init_std": 0.1,
    "qk_norm": 1.5,
}
CORPUS = {
    "k_max": 2,
    "k_mean": 1.0,
    "guess": 0.5,
    "guess_per_step": 0.0,
    "unboxed": 0.0,
    "large": 0.0,
    "guess_from": 0.0,
}
TRAINING = {"steps": 30, "batch": 8, "lr": 4e-3, "warmup": 5, "decay": 0.5, "beta2": 0.98, "weight_decay": 0.01}


def params(**changes: Any) -> TinyPolicy:
    given: dict[str, Any] = {"kind": "tiny", "shape": SHAPE, "corpus": CORPUS, "training": TRAINING}
    for name, change in changes.items():
        given[name] = given[name] | change if isinstance(change, dict) else change
    return TinyPolicy.model_validate_json(json.dumps(given))


def test_the_loss_is_a_loop_over_solution_tokens_whatever_the_padding() -> None:
    model = build_model(params().shape, TOKENIZER, 0).double()
    batch = [Example([5, 6, 7, 8, 9, 10, 2], 3), Example([11, 12, 13, 2], 2), Example([14, 15, 16, 17, 2], 4)]
    total = 0.0
    with torch.no_grad():
        for example in batch:
            logits_TV = model(torch.tensor([example.ids])).logits[0]
            for t in range(example.n_prompt, len(example.ids)):
                total -= torch.log_softmax(logits_TV[t - 1], -1)[example.ids[t]].item()
        assert response_loss(model, batch, 7.0).item() == pytest.approx(total / 7.0, rel=1e-10)


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    rates = [learning_rate(params(), step) / 4e-3 for step in range(30)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:15] == [1.0] * 10
    assert rates[15:] == pytest.approx([(30 - step) / 15 for step in range(15, 30)])
    assert learning_rate(params(training={"warmup": 0, "decay": 0.0}), 29) == 4e-3


def starts(p: TinyPolicy, n: int) -> list[list[str]]:
    """First words of the solutions of the first n batches."""
    batches = islice(tiny._batches(p, 0, TOKENIZER, ()), n)
    return [[TOKENIZER.decode(e.ids[e.n_prompt : e.n_prompt + 1]) for e in batch] for batch, _ in batches]


def test_guesses_appear_after_the_worked_solutions() -> None:
    found = starts(params(corpus={"guess_from": 0.5}, training={"steps": 32}), 32)
    assert {word for batch in found[:16] for word in batch} == {"Step", "Turn"}
    later = [word for batch in found[16:] for word in batch]
    assert 0.3 < later.count("The") / len(later) < 0.7
    assert {word for batch in starts(params(), 8) for word in batch} == {"Step", "Turn", "The"}


def test_batches_end_in_the_stop_token_and_share_a_pool_mean() -> None:
    drawn = list(islice(tiny._batches(params(), 0, TOKENIZER, ()), 8))
    assert all(e.ids[-1] == TOKENIZER.eos_token_id for batch, _ in drawn for e in batch)
    tokens = sum(len(e.ids) - e.n_prompt for batch, _ in drawn for e in batch)
    assert {mean for _, mean in drawn} == {tokens / 8}


def test_training_lowers_the_loss_and_repeats_to_the_bit() -> None:
    losses: list[float] = []
    first = train_tiny(params(), 0, TOKENIZER, (), lambda done, loss: losses.append(loss))
    again = train_tiny(params(), 0, TOKENIZER, ())
    assert len(losses) == 30
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not first.training


@pytest.mark.parametrize(
    "change",
    [
        {"corpus": {"k_mean": 3.0}},
        {"corpus": {"unboxed": 1.0}},
        {"corpus": {"large": 1.0}},
        {"training": {"lr": 1e-3}},
        {"training": {"beta2": 0.9}},
        {"training": {"weight_decay": 0.5}},
        {"shape": {"init_std": 0.05}},
        {"shape": {"qk_norm": 1.0}},
    ],
    ids=str,
)
def test_every_number_of_the_recipe_changes_the_policy(change: dict[str, Any]) -> None:
    short = {"steps": 2}
    base = train_tiny(params(training=short), 0, TOKENIZER, ())
    training = short | change.get("training", {})
    other = train_tiny(params(**change | {"training": training}), 0, TOKENIZER, ())
    assert any(not torch.equal(a, b) for a, b in zip(base.parameters(), other.parameters(), strict=True))


def test_the_seed_is_of_the_weights_and_of_the_corpus() -> None:
    start, other = (build_model(params().shape, TOKENIZER, seed) for seed in (0, 1))
    assert any(not torch.equal(a, b) for a, b in zip(start.parameters(), other.parameters(), strict=True))
    first, second = (next(tiny._batches(params(), seed, TOKENIZER, ()))[0] for seed in (0, 1))
    assert [e.ids for e in first] != [e.ids for e in second]
