"""The range check against hand-made scores, and the params of the policy section."""

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tokenspectrum.errors import UserError
from tokenspectrum.params.policy import Check, PolicyParams
from tokenspectrum.policy.check import check_policy, mean_and_error, problems_with, require_benchmarks

GIVEN: dict[str, Any] = {
    "samples": 8,
    "temperature": 1.0,
    "top_p": 0.7,
    "max_response_tokens": 90,
    "ranges": [
        {"benchmark": "easy", "low": 0.5, "high": 0.8},
        {"benchmark": "medium", "low": 0.3, "high": 0.6},
        {"benchmark": "hard", "low": 0.1, "high": 0.4},
    ],
    "min_gap": 0.05,
    "guess_floor": 0.1,
    "floor_errors": 3.0,
}
FIT = {"easy": (0.7, 0.02), "medium": (0.5, 0.02), "hard": (0.2, 0.02)}


def check(**changes: Any) -> Check:
    return Check.model_validate_json(json.dumps(GIVEN | changes))


def test_a_fit_policy_passes() -> None:
    assert problems_with(check(), FIT) == []
    check_policy(check(), FIT)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"easy": (0.81, 0.02)}, "easy 0.810 is outside 0.5 to 0.8"),
        ({"medium": (0.29, 0.02), "hard": (0.2, 0.02)}, "medium 0.290 is outside 0.3 to 0.6"),
        ({"easy": (0.54, 0.02)}, "medium is 0.040 below easy, not 0.05"),
        ({"hard": (0.2, 0.04)}, "hard 0.200 is not 3 standard errors (0.040) above guessing (0.1)"),
    ],
)
def test_each_miss_is_named(scores: dict[str, tuple[float, float]], message: str) -> None:
    assert problems_with(check(), FIT | scores) == [message]
    with pytest.raises(UserError, match=r"policy\.check: the base policy is not fit"):
        check_policy(check(), FIT | scores)


def test_the_order_of_the_ranges_says_which_is_harder() -> None:
    assert len(problems_with(check(ranges=GIVEN["ranges"][::-1]), FIT)) == 2


def test_all_misses_come_in_one_line() -> None:
    with pytest.raises(UserError) as error:
        check_policy(check(), {"easy": (0.1, 0.01), "medium": (0.1, 0.01), "hard": (0.1, 0.01)})
    line = str(error.value)
    assert "\n" not in line
    assert all(name in line for name in ("easy 0.100", "medium 0.100", "hard 0.100", "above guessing"))


def test_an_unknown_benchmark_is_named() -> None:
    require_benchmarks(check(), FIT)
    with pytest.raises(UserError, match="names hard, but the benchmarks are easy, medium"):
        require_benchmarks(check(), {"easy": FIT["easy"], "medium": FIT["medium"]})


def test_a_benchmark_of_one_problem_has_no_standard_error() -> None:
    with pytest.raises(UserError, match=r"policy\.check\.ranges: hard has 1 problem, but a standard error takes 2"):
        require_benchmarks(check(), FIT | {"hard": [0]})


def test_standard_error_is_over_problems() -> None:
    accuracy_P = [0.0, 0.25, 0.5, 1.0]
    mean, error = mean_and_error(accuracy_P)
    assert mean == 0.4375
    squares = sum((a - mean) ** 2 for a in accuracy_P)
    assert np.isclose(error, (squares / 3) ** 0.5 / 2)


def hub(**changes: Any) -> dict[str, Any]:
    return {"kind": "hub", "source": "Qwen/Qwen3-8B-Base", "revision": "a" * 40, "num_layers": 36} | changes


def parse(given: dict[str, Any]) -> PolicyParams:
    return PolicyParams.model_validate_json(json.dumps(given))


def test_hub_params_name_the_policy_without_a_path() -> None:
    assert parse(hub()).root.name == "Qwen/Qwen3-8B-Base"
    assert parse(hub(source="/data/models/mine/", revision=None)).root.name == "mine"
    assert parse(hub()).num_layers == 36


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (hub(revision=None), "needs its revision"),
        (hub(revision="main"), "should match pattern"),
        (hub(source="./mine"), "a folder has no revision"),
        (hub(kind="cloud"), "tag 'cloud'"),
        (hub(layers=3), "layers"),
    ],
)
def test_bad_params_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        parse(given)


def test_a_range_upside_down_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"low 0\.8 is above high 0\.5"):
        check(ranges=[{"benchmark": "easy", "low": 0.8, "high": 0.5}])
