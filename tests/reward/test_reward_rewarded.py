"""A response's reward: the verifier's part, the overlong penalty, and what `correct` ignores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.params.reward import OverlongParams, RewardParams
from tokenspectrum.reward.overlong import overlong_penalty
from tokenspectrum.reward.rewarded import reward_response

PLAIN = RewardParams(integer_sources=("aime24",), overlong=None)
SHAPED = RewardParams(integer_sources=("aime24",), overlong=OverlongParams(buffer=20, factor=0.5))


@pytest.mark.parametrize(("n", "penalty"), [(0, 0), (79, 0), (80, 0), (81, -0.025), (90, -0.25), (100, -0.5)])
def test_overlong_penalty(n, penalty):
    assert overlong_penalty(n, limit=100, buffer=20, factor=0.5) == pytest.approx(penalty, abs=1e-12)


@given(st.integers(1, 500), st.integers(0, 500), st.floats(0, 3))
def test_overlong_penalty_against_its_definition(buffer, n, factor):
    limit = 500
    expected = min(0.0, -((n - (limit - buffer)) / buffer) * factor)
    assert overlong_penalty(n, limit, buffer, factor) == pytest.approx(expected)


def test_penalty_is_on_the_reward_alone():
    plain = reward_response(r"\boxed{5}", 100, "5", "math", PLAIN, limit=100)
    shaped = reward_response(r"\boxed{5}", 100, "5", "math", SHAPED, limit=100)
    assert (plain.answer, plain.correct, plain.reward_raw, plain.reward) == ("5", True, 1.0, 1.0)
    assert (shaped.answer, shaped.correct, shaped.reward_raw, shaped.reward) == ("5", True, 1.0, 0.5)
    assert reward_response("none", 95, "5", "math", SHAPED, limit=100).reward == pytest.approx(-2.375)


def test_integer_sources_come_from_the_params():
    assert reward_response(r"\boxed{025}", 3, "25", "aime24", PLAIN, limit=9).correct
    strict = RewardParams(integer_sources=(), overlong=None)
    assert not reward_response(r"\boxed{025}", 3, "25", "aime24", strict, limit=9).correct
