"""Gradients of sums and of single tokens against autograd, one token at a time."""

import math

import numpy as np
import pytest
import torch
from kit.policy import write_letters
from kit.responses import response
from transformers import PreTrainedModel

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.gradients.accuracy import accuracy_coefficients, halves
from tokenspectrum.gradients.geometry import deciles, geometry
from tokenspectrum.gradients.norms import token_norms
from tokenspectrum.gradients.part import of_chosen_prompts
from tokenspectrum.gradients.pull import dots
from tokenspectrum.gradients.sparse import sparse_columns
from tokenspectrum.gradients.squares import products
from tokenspectrum.gradients.subsets import Subset
from tokenspectrum.gradients.update import measure_update
from tokenspectrum.params.gradients import SparseParams
from tokenspectrum.policy.load import load_policy
from tokenspectrum.training.backends.local.pulls import dot, held_at_once, pulls

LENGTHS = ((3, 5), (2, 1), (4, 7), (1, 4))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> PreTrainedModel:
    return load_policy(write_letters(tmp_path_factory.mktemp("policy") / "p"))[0]


@pytest.fixture(scope="module")
def answers():
    draw = np.random.default_rng(0)
    return [
        response(draw.integers(2, 40, p), draw.integers(2, 40, t), f"p{r // 2}", r % 2)
        for r, (p, t) in enumerate(LENGTHS)
    ]


def plain_logprobs(model, one) -> torch.Tensor:
    """Log-probability of each response token, from the whole model's logits."""
    ids = torch.tensor([[*map(int, one.prompt_token_ids), *map(int, one.token_ids)]])
    logprobs = torch.log_softmax(model(ids).logits[0].float(), -1)
    n_prompt = len(one.prompt_token_ids)
    return torch.stack([logprobs[n_prompt + t - 1, int(token)] for t, token in enumerate(one.token_ids)])


@pytest.fixture(scope="module")
def each(model, answers) -> np.ndarray:
    """float64 (N, parameters): the gradient of every token's log-probability, one backward pass each."""
    rows = []
    for one in answers:
        for t in range(len(one.token_ids)):
            gradient = torch.autograd.grad(plain_logprobs(model, one)[t], list(model.parameters()))
            rows.append(torch.cat([g.double().flatten() for g in gradient]).numpy())
    return np.stack(rows)


def flat(vector) -> np.ndarray:
    return torch.cat([part.double().flatten() for part in vector]).numpy()


@pytest.mark.parametrize("micro_batch", [1, 3, 10])
def test_the_gradient_of_a_weighted_sum(model, answers, each, micro_batch):
    coefficients = np.random.default_rng(1).normal(size=(2, len(each)))
    coefficients[1, :5] = 0  # the first response is of no account
    found = pulls(model, answers, torch.from_numpy(coefficients).float(), micro_batch)
    for row, wanted in zip(found, coefficients @ each, strict=True):
        np.testing.assert_allclose(flat(row), wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("micro_batch", [1, 3, 10])
def test_every_tokens_product_with_a_direction(model, answers, each, micro_batch):
    coefficients = torch.from_numpy(np.random.default_rng(2).normal(size=(3, len(each)))).float()
    directions = pulls(model, answers, coefficients, 4)
    found = dots(model, answers, directions, micro_batch)
    wanted = np.stack([each @ flat(direction) for direction in directions])
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_a_padding_token_in_a_response_has_no_gradient_of_its_embedding(model):
    assert model.get_input_embeddings().padding_idx == 0
    one = response(np.array([5, 6, 7]), np.array([8, 0, 9, 4]), "p", 0)
    (direction,) = pulls(model, [one], torch.tensor([[1.0, -2.0, 0.5, 3.0]]), 1)
    wanted = []
    for t in range(4):
        gradient = torch.autograd.grad(plain_logprobs(model, one)[t], list(model.parameters()))
        wanted.append(dot(list(gradient), direction))
    np.testing.assert_allclose(dots(model, [one], [direction], 1)[0].numpy(), wanted, rtol=1e-4)


def test_norms_of_single_tokens(model, answers, each):
    starts = np.cumsum([0, *(len(one.token_ids) for one in answers)])
    tokens = [(2, 6), (0, 0), (2, 1), (1, 0)]
    found = token_norms(model, answers, tokens)
    np.testing.assert_allclose(found, [np.linalg.norm(each[starts[r] + t]) for r, t in tokens], rtol=1e-4)


class Batch:
    """Responses with advantages and verdicts."""

    seed = 5

    def __init__(self, answers, advantage, correct):
        self.responses, self.lengths = answers, np.array([len(one.token_ids) for one in answers])
        self.advantage_R, self.correct_R = np.array(advantage), np.array(correct)


def test_an_update_is_shared_out_exactly(model, answers, each):
    batch = Batch(answers, [1.0, -0.5, 0.25, -1.5], [True, False, True, False])
    n = len(each)
    g_NP = -np.repeat(batch.advantage_R, batch.lengths)[:, None] * each
    g = g_NP.mean(0)
    draw = np.random.default_rng(3)
    part = draw.integers(0, 3, n)
    subsets = [Subset(f"part{k}", None, torch.from_numpy((part == k).astype(np.float32))) for k in range(3)]
    subsets.append(Subset("soft", 1, torch.from_numpy(draw.random(n).astype(np.float32))))
    found = measure_update(model, batch, subsets, [(0, 1), (3, 2)], 2)
    np.testing.assert_allclose(found.dot_N, g_NP @ g, rtol=1e-3, atol=1e-6)
    columns = found.subset_columns()
    rows = {key: i for i, key in enumerate(zip(columns["subset"], columns["denominator"], strict=True))}
    for subset in subsets:
        weight = subset.weight_N.double().numpy()
        for denominator, total in (("all", n), ("selected", weight.sum())):
            own, i = weight @ g_NP / total, rows[subset.name, denominator]
            assert columns["norm_ratio"][i] == pytest.approx(np.linalg.norm(own) / np.linalg.norm(g), rel=1e-3)
            assert columns["cosine"][i] == pytest.approx(own @ g / np.linalg.norm(own) / np.linalg.norm(g), rel=1e-3)
            assert columns["proj_ratio"][i] == pytest.approx(own @ g / (g @ g), rel=1e-3)
            assert columns["tokens"][i] == int((weight > 0).sum())
    parts = [columns["proj_ratio"][rows[f"part{k}", "all"]] for k in range(3)]
    assert sum(parts) == pytest.approx(1.0, abs=1e-5)
    # The gradient of accuracy is that of the other half: a token never meets its own prompt's.
    half = halves([one.prompt_id for one in answers], 5)
    coefficients = accuracy_coefficients(batch.correct_R, [one.prompt_id for one in answers], half)
    h = [np.repeat(coefficients[k], batch.lengths) @ each for k in range(2)]
    other = np.repeat(1 - half, batch.lengths)
    wanted = np.array([g_NP[t] @ h[other[t]] for t in range(n)])
    np.testing.assert_allclose(found.accuracy_dot_N, wanted, rtol=1e-3, atol=1e-6)
    weight = subsets[3].weight_N.double().numpy()
    own = weight @ g_NP / n
    assert columns["gain"][rows["soft", "all"]] == pytest.approx(
        -100 * weight @ wanted / n / np.linalg.norm(own), rel=1e-3
    )
    assert int((~np.isnan(found.norm_N)).sum()) == 2
    assert found.norm_N[1] == pytest.approx(np.linalg.norm(g_NP[1]), rel=1e-4)


def test_gradients_taken_one_at_a_time_are_the_same(model, answers, monkeypatch):
    """A large policy holds one gradient at a time, a small one many."""
    batch = Batch(answers, [1.0, -0.5, 0.25, -1.5], [True, False, True, False])
    draw = np.random.default_rng(6)
    n = int(batch.lengths.sum())
    subsets = [Subset(f"part{k}", None, torch.from_numpy(draw.random(n).astype(np.float32))) for k in range(3)]
    assert held_at_once(model) > 3
    many = measure_update(model, batch, subsets, [], 2)
    monkeypatch.setattr("tokenspectrum.training.backends.local.pulls.HELD", 1)
    assert held_at_once(model) == 1
    assert measure_update(model, batch, subsets, [], 2).own_S == many.own_S


@pytest.mark.parametrize("held", [1, 3, 9])
@pytest.mark.parametrize("processes", [1, 2])
def test_products_are_those_of_the_gradients_to_the_last_bit(model, answers, monkeypatch, held, processes):
    """Whoever adds last multiplies out: a row that is zero in some micro-batches, or in all, and rows after it."""
    draw = np.random.default_rng(9)
    rows = torch.from_numpy(draw.normal(size=(7, sum(t for _, t in LENGTHS)))).float()
    rows[1, 5:] = 0
    rows[2, :6] = 0
    rows[4] = 0
    gradients, (along,) = pulls(model, answers, rows, 1), pulls(model, answers, rows[:1] + 1, 1)
    per_gradient = 8 * sum(parameter.numel() for parameter in model.parameters())
    monkeypatch.setattr("tokenspectrum.training.backends.local.pulls.HELD", held * per_gradient)
    assert held_at_once(model) == held
    done: list[int] = []
    found = products(model, answers, rows, 1, along=along, report=done.append, processes=processes)
    assert found.own_K == [dot(gradient, gradient) for gradient in gradients]
    assert found.along_K == [dot(gradient, along) for gradient in gradients]
    assert done == sorted(done)
    assert done[-1] == 7
    assert products(model, answers, rows, 1).along_K == [0.0] * 7


def test_subsets_of_the_same_tokens_cost_one_gradient(model, answers, monkeypatch):
    batch = Batch(answers, [1.0, -0.5, 0.25, -1.5], [True, False, True, False])
    one_N, other_N = (torch.from_numpy(np.random.default_rng(i).random(17).astype(np.float32)) for i in range(2))
    alone = measure_update(model, batch, [Subset("a", None, one_N), Subset("b", None, other_N)], [], 2)
    counted: list[int] = []

    def counting(model, responses, rows, *options, **more):
        counted.append(len(rows))
        return products(model, responses, rows, *options, **more)

    monkeypatch.setattr("tokenspectrum.gradients.update.products", counting)
    again = [Subset("a", None, one_N), Subset("a2", 1, one_N.clone()), Subset("b", None, other_N)]
    found = measure_update(model, batch, again, [], 2)
    assert counted == [2]
    assert found.own_S == [alone.own_S[i] for i in (0, 1, 1, 2)]


def test_random_masks_err_as_the_token_gradients_say(model, answers, each):
    """Of all four responses: errors of each mask by brute force, and the mean square of token gradients by signs."""
    advantage = np.array([1.0, -0.5, 0.25, -1.5])
    lengths = [len(one.token_ids) for one in answers]
    g_NP = -np.repeat(advantage, lengths)[:, None] * each
    g, n = g_NP.mean(0), len(g_NP)
    params = SparseParams(prompts=9, p=(0.3, 0.7), draws=24, signs=100)
    found = sparse_columns(model, answers, advantage, params, 1, 0, 2)
    rows = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    signs = np.array([row["error"] for row in rows if row["estimator"] == "signs"])
    q = (g_NP**2).sum() / n**2 / (g @ g)
    assert abs(signs.mean() - q) < 4 * signs.std(ddof=1) / math.sqrt(len(signs))
    for p in (0.3, 0.7):
        errors = np.array([r["error"] for r in rows if (r["estimator"], r["p"]) == ("expected", p)])
        assert abs(errors.mean() - (1 - p) / p * q) < 4 * errors.std(ddof=1) / math.sqrt(len(errors))
        assert np.mean([r["tokens"] for r in rows if r["p"] == p]) == pytest.approx(p * n, rel=0.15)
    # One mask by hand: the draws are hashes of where a token stands.
    keys = np.array([stream_key("sparse.0.3.0", 1, 0, one.prompt_id, one.sample) for one in answers], np.uint64)
    z = uniforms(np.repeat(keys, lengths), np.concatenate([np.arange(t) for t in lengths])) < 0.3
    part = g_NP[z].sum(0)
    for row, estimate in zip(rows[:2], (part / (0.3 * n), part / z.sum()), strict=True):
        assert row["error"] == pytest.approx(((estimate - g) ** 2).sum() / (g @ g), rel=1e-3)
        assert row["cosine"] == pytest.approx(estimate @ g / np.linalg.norm(estimate) / np.linalg.norm(g), rel=1e-3)
    assert of_chosen_prompts([one.prompt_id for one in answers], 1, "sparse", 1, 0) in ([0, 1], [2, 3])


def test_without_an_advantage_masks_and_subsets_are_of_zero_gradients(model, answers, each):
    params = SparseParams(prompts=9, p=(0.3, 0.7), draws=2, signs=2)
    some, none = (sparse_columns(model, answers, np.full(4, a), params, 1, 0, 2) for a in (1.0, 0.0))
    assert {name: none[name] for name in ("estimator", "p", "draw", "tokens", "batch")} == {
        name: some[name] for name in ("estimator", "p", "draw", "tokens", "batch")
    }
    assert set(none["error"]) == set(none["cosine"]) == {None}
    batch = Batch(answers, [0.0] * 4, [False] * 4)
    found = measure_update(model, batch, [Subset("half", None, (torch.arange(len(each)) % 2).float())], [(0, 1)], 2)
    assert found.own_S == [0.0, 0.0]
    assert found.subset_columns()["proj_ratio"] == [None] * 4


def test_a_step_against_the_gradient_changes_the_loss_as_it_says(model, answers, each):
    """<g, g> is the slope of the loss along g: a small step down g, measured."""
    batch = Batch(answers, [1.0, -0.5, 0.25, -1.5], [True, False, True, False])
    c = torch.from_numpy(-np.repeat(batch.advantage_R, batch.lengths) / len(each)).float()
    (g,) = pulls(model, answers, c[None], 4)

    def loss() -> float:
        with torch.no_grad():
            return float(sum((c[i] * v for i, v in enumerate(torch.cat([plain_logprobs(model, a) for a in answers])))))

    before, step = loss(), 1e-3 / math.sqrt(dot(g, g))
    with torch.no_grad():
        for parameter, part in zip(model.parameters(), g, strict=True):
            parameter -= (step * part).to(parameter.dtype)
        after = loss()
        for parameter, part in zip(model.parameters(), g, strict=True):
            parameter += (step * part).to(parameter.dtype)
    assert after - before == pytest.approx(-step * dot(g, g), rel=0.05)


def test_a_batch_without_advantages_has_no_direction(model, answers):
    found = measure_update(model, Batch(answers, [0.0] * 4, [True] * 4), [], [], 4).subset_columns()
    assert found["norm_ratio"] == found["cosine"] == found["gain"] == [None, None]
    assert geometry(0.0, 0.0, 4.0).cosine is None


def test_deciles_have_the_edges_of_the_definition():
    draw = np.random.default_rng(4)
    for length in (1, 2, 9, 10, 11, 37):
        score = draw.integers(0, 5, length).tolist()
        order = sorted(range(length), key=lambda t: (score[t], t))
        found = deciles(score)
        for d in range(10):
            assert [t for t in order if found[t] == d] == order[d * length // 10 : (d + 1) * length // 10]


def test_halves_split_prompts_evenly_and_by_their_names():
    ids = [f"p{i // 3}" for i in range(30)]
    half = halves(ids, 1)
    assert sorted(half.tolist()) == [0] * 15 + [1] * 15
    assert all(len(set(half[i : i + 3])) == 1 for i in range(0, 30, 3))
    shuffled = ids[::-1]
    assert halves(shuffled, 1).tolist() == half[::-1].tolist()
    assert halves(ids, 2).tolist() != half.tolist()


def test_the_gradient_of_accuracy_is_unbiased():
    """Of a coin with P(right) = sigmoid(theta), the mean of the estimate over all outcomes is p (1 - p)."""
    theta, n = 0.7, 3
    p = 1 / (1 + math.exp(-theta))
    total = 0.0
    for outcome in np.ndindex(*(2,) * n):
        correct = np.array(outcome)
        chance = np.prod(np.where(correct == 1, p, 1 - p))
        c = accuracy_coefficients(correct, ["a"] * n, np.zeros(n, np.int64))[0]
        total += chance * float((c * (correct - p)).sum())  # grad log P(outcome) = correct - p
    assert total == pytest.approx(p * (1 - p), rel=1e-9)
