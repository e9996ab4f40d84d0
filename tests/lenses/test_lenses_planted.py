"""The lenses on a policy whose sparse tokens are planted, and each against its definition."""

import itertools
import math
import statistics

import numpy as np
import pytest
import torch
from kit.planted import (
    ANSWER,
    BOX,
    FORK,
    LENGTH,
    N_PROMPT,
    OPERAND,
    Planted,
    PlantedEngine,
    logits_of,
    planted_response,
)
from kit.policy import boxes, write_boxes

from tokenspectrum.lenses.branches import Success, successes, variance
from tokenspectrum.lenses.importance import answer_span, importance
from tokenspectrum.lenses.information import EPSILON, hsic, states
from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.text import response_texts
from tokenspectrum.policy.tokenizer import build_tokenizer
from tokenspectrum.reward.boxed import verify
from tokenspectrum.rollout.types import Sampling

DIGITS = (0, 3, 4, 8)
SAMPLING = Sampling(1.0, 1.0, LENGTH + 3, 60)


@pytest.fixture(scope="module")
def answers():
    return [planted_response(digit, 1 + i % 2) for i, digit in enumerate(DIGITS)]


@pytest.fixture(scope="module")
def random_policy(tmp_path_factory):
    return load_policy(write_boxes(tmp_path_factory.mktemp("policy") / "p"))[0]


def ranked(values) -> list[int]:
    """Positions by descending value."""
    return sorted(range(len(values)), key=lambda t: -values[t])


def test_predictive_entropy_finds_the_fork(answers):
    for answer in answers:
        ids = [*answer.prompt_token_ids, *answer.token_ids]
        logprobs = [logits_of(ids[: N_PROMPT + t], [True] * len(ids)).double() for t in range(LENGTH)]
        entropy = [float(-(x.exp() * x).sum()) for x in logprobs]
        assert ranked(entropy)[:2] == [FORK, OPERAND]
        assert entropy[FORK] == pytest.approx(math.log(2), abs=1e-3)
        assert entropy[OPERAND] < 0.25


def test_functional_importance_finds_the_fork_and_the_operand(answers):
    model, tokenizer = Planted(), boxes()
    for answer in answers:
        span = answer_span(tokenizer, answer.token_ids)
        assert span == (ANSWER, ANSWER + 1)
        found = importance(model, answer.prompt_token_ids, answer.token_ids, range(LENGTH), span, rows=3)
        end = ANSWER - 1  # its own state emits the answer
        assert found[end:] == [None] * 3
        assert set(ranked(found[:end])[:2]) == {FORK, OPERAND}
        assert found[FORK] == pytest.approx(math.log(10), abs=1e-3)
        assert [found[t] for t in range(end) if t not in (FORK, OPERAND)] == pytest.approx([0.0] * (end - 2), abs=1e-9)


@torch.no_grad()
def test_importance_is_the_divergence_with_a_closed_column(random_policy, answers):
    """By hand: a square mask whose column is closed for all later queries."""
    model, answer = random_policy, answers[1]
    ids = torch.tensor([[*answer.prompt_token_ids, *answer.token_ids]])
    n, at = ids.shape[1], N_PROMPT
    span = (ANSWER, LENGTH)
    found = importance(model, answer.prompt_token_ids, answer.token_ids, [0, FORK, OPERAND, 8], span, 2)
    assert found[3] is None
    open_LL = torch.ones(n, n).tril().bool()
    plain = model(input_ids=ids, attention_mask=open_LL[None, None]).logits[0].double().log_softmax(-1)
    for t, value in zip((0, FORK, OPERAND), found, strict=False):
        closed_LL = open_LL.clone()
        closed_LL[at + t + 1 :, at + t] = False
        hidden = model(input_ids=ids, attention_mask=closed_LL[None, None]).logits[0].double().log_softmax(-1)
        kl = [float((plain[q].exp() * (plain[q] - hidden[q])).sum()) for q in range(at + ANSWER - 1, at + LENGTH - 1)]
        assert value == pytest.approx(np.mean(kl), rel=1e-3)


def right(digit: int):
    """Judges whole responses to the problem of `digit`: gold is the answer of F = 1."""

    def judge(whole):
        return [verify(text, str((digit + 1) % 10), "sums").correct for text in response_texts(boxes(), whole)]

    return judge


def test_cross_rollout_variance_finds_the_fork_alone(answers):
    at_forks = []
    for digit, answer in zip(DIGITS, answers, strict=True):
        of = successes(PlantedEngine(), answer, range(LENGTH + 1), SAMPLING, 3, right(digit))
        found = [variance(of[t], of[t + 1]) for t in range(LENGTH)]
        assert ranked(found)[0] == FORK
        at_forks.append(found[FORK])
        assert max(abs(v) for t, v in enumerate(found) if t != FORK) < 0.05
        assert of[LENGTH].sure
        assert of[LENGTH].noise == 0
    # From half to nearly 0 or 1.
    assert np.mean(at_forks) == pytest.approx(0.235, abs=0.1)


def test_a_cut_is_the_same_whatever_other_cuts_there_are(answers):
    some, other = (successes(PlantedEngine(), answers[0], c, SAMPLING, 3, right(0)) for c in ([1], [0, 1, 5]))
    assert some[1] == other[1]


class Short(PlantedEngine):
    """Refuses, as every engine does, what the policy has no positions for."""

    def __init__(self, positions: int) -> None:
        self.positions, self.calls = positions, 0

    def generate(self, prompts, sampling, *where, **how):
        self.calls += 1
        assert max(len(prompt.token_ids) for prompt in prompts) + sampling.max_tokens <= self.positions
        return super().generate(prompts, sampling, *where, **how)


@pytest.mark.parametrize(("spare", "calls"), [(0, LENGTH), (1, 5), (3, 3), (LENGTH - 1, 1), (100, 1)])
def test_a_policy_that_has_positions_for_a_response_has_them_for_its_continuations(answers, spare, calls):
    cuts = range(LENGTH + 1)
    plain = successes(PlantedEngine(), answers[0], cuts, SAMPLING, 3, right(0))
    engine = Short(N_PROMPT + SAMPLING.max_tokens + spare)
    assert successes(engine, answers[0], cuts, SAMPLING, 3, right(0), engine.positions) == plain
    assert engine.calls == calls


def test_a_continuation_ends_where_the_response_would(answers):
    """Cut off before its answer, no continuation is right."""
    short = Sampling(1.0, 1.0, ANSWER, 5)
    of = successes(PlantedEngine(), answers[0], [0, 2], short, 3, right(0))
    assert of[0].share == of[2].share == 0


def test_variance_is_unbiased():
    """Its mean over all outcomes of two binomials is the squared difference of their chances."""
    n, a, b = 5, 0.7, 0.4

    def chance(k: int, p: float) -> float:
        return math.comb(n, k) * p**k * (1 - p) ** (n - k)

    total = sum(
        chance(i, a) * chance(j, b) * variance(Success(j / n, n), Success(i / n, n))
        for i, j in itertools.product(range(n + 1), repeat=2)
    )
    assert total == pytest.approx((a - b) ** 2, abs=1e-12)


def by_eigenvalues(x: np.ndarray, y: np.ndarray, *sigmas: float) -> float:
    """tr(R_x R_y) from the eigenvectors of both centred kernels, of one width or of one each."""
    n = len(x)
    centre = np.eye(n) - 1 / n
    parts = []
    for v, sigma in zip((x, y), (sigmas[0], sigmas[-1]), strict=True):
        kernel = np.array([[math.exp(-((a - b) ** 2) / (2 * sigma**2)) for b in v] for a in v])
        value, vector = np.linalg.eigh(centre @ kernel @ centre)
        parts.append(vector @ np.diag(value / (value + EPSILON * n)) @ vector.T)
    return float(np.trace(parts[0] @ parts[1]))


@pytest.mark.parametrize("sigma", [1.0, 50.0, None])
def test_information_finds_the_state_that_emits_the_answer(answers, sigma):
    model = Planted()
    for answer in answers:
        ids = [*answer.prompt_token_ids, *answer.token_ids]
        emits = [N_PROMPT + t - 1 for t in range(LENGTH)]
        gold = states(model, [answer.token_ids[ANSWER]], 0)[-1]
        assert answer.token_ids[ANSWER] >= BOX
        assert ranked(hsic(states(model, ids, 0)[emits], gold, sigma).tolist())[0] == ANSWER


def test_information_is_its_definition_and_finds_planted_states():
    draw = np.random.default_rng(0)
    y = draw.normal(size=24)
    x = draw.normal(size=(12, 24))
    planted = (2, 7)
    x[2], x[7] = y + 0.05 * draw.normal(size=24), np.tanh(y)
    for sigma in (1.0, 50.0):
        found = hsic(x, y, sigma)
        assert found == pytest.approx([by_eigenvalues(row, y, sigma) for row in x], rel=1e-6)
        assert set(ranked(found.tolist())[:2]) == set(planted)
    median = hsic(x, y, None)
    width = [statistics.median(abs(a - b) for a, b in itertools.combinations(v, 2)) for v in (*x, y)]
    own = [by_eigenvalues(row, y, width[i], width[-1]) for i, row in enumerate(x)]
    assert median == pytest.approx(own, rel=1e-6)
    assert set(ranked(median.tolist())[:2]) == set(planted)
    # The states' scale is the kernel's width's.
    assert hsic(3 * x, 3 * y, None) == pytest.approx(median, rel=1e-6)
    assert np.isfinite(hsic(np.zeros((1, 24)), y, None)).all()


def test_states_are_those_of_the_layer(random_policy, answers):
    model = random_policy
    ids = [*answers[0].prompt_token_ids, *answers[0].token_ids]
    kept = []
    handle = model.model.layers[0].register_forward_hook(lambda module, inputs, out: kept.append(out))
    first = states(model, ids, 0)
    handle.remove()
    out = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
    assert first == pytest.approx(out.detach().reshape(len(ids), -1).double().numpy())
    last = torch.from_numpy(states(model, ids, 2)).float()
    logits = model(input_ids=torch.tensor([ids])).logits[0]
    assert torch.allclose(model.lm_head(last), logits, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("1+2\\boxed{3}", (3, 4)),
        ("\\boxed{1}+\\boxed{2}+", (2, 3)),
        ("\\boxed{2}+2", (0, 1)),
        ("1+2", None),
    ],
)
def test_the_answer_is_where_the_last_box_is(text, span):
    tokenizer = boxes()
    assert answer_span(tokenizer, tokenizer.encode(text, add_special_tokens=False)) == span


def test_an_answer_of_several_tokens_is_found_whole():
    tokenizer = build_tokenizer()
    ids = tokenizer.encode("so 12+3 = 15. The answer is \\boxed{15}. 15}", add_special_tokens=False)
    first, end = answer_span(tokenizer, ids)
    assert tokenizer.decode(ids[first:end]).strip() == "15"
    assert tokenizer.decode(ids[:first]).endswith("\\boxed{")
