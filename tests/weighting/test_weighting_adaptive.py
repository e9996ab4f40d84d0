"""The rule `adaptive`, step by step against its table of docs/weighting.md."""

import json

import pytest
import torch

from tokenspectrum.errors import UserError
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.registry import make_rule, rule_from_json
from tokenspectrum.weighting.rule import Seen

RULE = {
    "kind": "adaptive",
    "denominator": "all",
    "score": "entropy_norm",
    "layer": 0,
    "alignment": "decision",
    "tau": 0.5,
    "eps_mode": "exact",
    "w_low": (1.0, 0.0),
    "w_high": (0.0, 1.0),
    "pace": 4,
    "window": 2,
    "reward_gain": 0.0,
    "length_drift": 0.1,
    "collapse_length": (0.5, 1.6),
    "collapse_reward": 0.3,
    "fall": 0.2,
    "probe_every": 2,
    "cosine": 0.25,
}
# Reward, length and the cosine if it was measured, of each step -> (r, reason) after it, worked out by hand.
RISING = [(0.1 * i, 50.0) for i in range(6)]
STORIES = {
    "stable": (
        RISING,
        [(0.0, "start"), (0.25, "stable"), (0.5, "stable"), (0.75, "stable"), (1.0, "stable"), (1.0, "stable")],
    ),
    "reward stagnates": (
        [(0.0, 50.0), (0.1, 50.0), (0.05, 50.0)],
        [(0.0, "start"), (0.25, "stable"), (0.25, "reward stagnates")],
    ),
    # The last reward is below the one before, and the mean of the last two above that of the two before.
    "two steps are a window": (
        [(0.0, 50.0), (0.1, 50.0), (0.2, 50.0), (0.15, 50.0)],
        [(0.0, "start"), (0.25, "stable"), (0.5, "stable"), (0.75, "stable")],
    ),
    # Steps 3 and 4 make the first mean of two: 55 after 50.
    "length drifts": (
        [(0.0, 50.0), (0.1, 50.0), (0.2, 51.0), (0.3, 61.0)],
        [(0.0, "start"), (0.25, "stable"), (0.5, "stable"), (0.5, "length drifts")],
    ),
    "collapse: length": (
        [(0.0, 50.0), (0.1, 50.0), (0.2, 20.0), (0.3, 50.0)],
        [(0.0, "start"), (0.25, "stable"), (0.05, "collapse: length"), (0.05, "length drifts")],
    ),
    # The cosine of step 2 holds for step 3, which measures none.  At the bound r goes on.
    "gradient turns away": (
        [(0.0, 50.0, 0.9), (0.1, 50.0, 0.2), (0.2, 50.0), (0.3, 50.0, 0.25), (0.4, 50.0, None)],
        [(0.0, "start"), (0.0, "gradient turns away"), (0.0, "gradient turns away"), (0.25, "stable"), (0.5, "stable")],
    ),
    "collapse: reward": (
        [(0.5, 50.0), (0.1, 50.0), (0.6, 50.0)],
        [(0.0, "start"), (0.0, "collapse: reward"), (0.25, "stable")],
    ),
}


def told(story, **changes):
    """(r, reason) after each step, with the memory through JSON between steps, as a resumed run has it."""
    rule = make_rule(**RULE | changes)
    memory, after = rule.memory, []
    for step in story:
        memory = json.loads(json.dumps(dict(rule.after(memory, Seen(*step)))))
        after.append((pytest.approx(memory["ramp"]), memory["reason"]))
    return after


@pytest.mark.parametrize("name", STORIES)
def test_r_moves_as_the_table_says(name):
    story, wanted = STORIES[name]
    assert told(story) == wanted


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"pace": 3}, "stable"),
        ({"window": 1}, "two steps are a window"),
        ({"reward_gain": 0.2}, "stable"),
        ({"reward_gain": -0.1}, "reward stagnates"),
        ({"length_drift": 0.3}, "length drifts"),
        ({"collapse_length": (0.3, 1.6)}, "collapse: length"),
        ({"collapse_length": (0.5, 1.05)}, "length drifts"),
        ({"collapse_reward": 0.5}, "collapse: reward"),
        ({"fall": 0.1}, "collapse: length"),
        ({"cosine": 0.15}, "gradient turns away"),
        ({"cosine": 0.3}, "gradient turns away"),
        ({"probe_every": 0, "cosine": None}, "gradient turns away"),
    ],
)
def test_each_threshold_changes_the_story(change, name):
    story, wanted = STORIES[name]
    assert told(story, **change) != wanted


def test_r_stays_within_0_and_1():
    ends = [r for r, _ in told(RISING + [(0.6, 10.0)] * 12)]
    assert ends[5] == 1.0
    assert ends[-1] == 0.0


def batch(step, memory=None):
    zero = torch.zeros(1, dtype=torch.int64)
    scores = {"entropy_norm": torch.tensor([0.1, 0.5, 0.9])}
    return TokenBatch(torch.tensor([3]), 0, step, ["p"], zero, zero, scores, memory=memory)


def test_the_weights_are_those_of_low2high_at_the_remembered_r():
    rule = make_rule(**RULE)
    names = RULE.keys() - {"pace", "window", "reward_gain", "length_drift", "fall", "probe_every", "cosine"}
    same = {name: RULE[name] for name in names if not name.startswith("collapse")}
    low2high = make_rule(**same | {"kind": "low2high", "s_warm": 4})
    for s in range(5):
        memory = {"ramp": s / 4, "reason": "stable", "rewards": [], "lengths": []}
        found, wanted = apply(rule, batch(9, memory)), apply(low2high, batch(s + 1))
        assert torch.equal(found.weight_N, wanted.weight_N)
        assert (found.extra["ramp"], found.extra["reason"]) == (s / 4, "stable")
        # Without a memory, as in the stage weights, every step counts as stable.
        assert torch.equal(apply(rule, batch(s + 1)).weight_N, wanted.weight_N)


def test_rule_json_keeps_every_threshold():
    rule = make_rule(**RULE)
    assert rule.record() == json.loads(json.dumps(RULE))
    assert rule_from_json(rule.to_json()) == rule
    assert rule.memory == {"ramp": 0.0, "reason": "start", "rewards": [], "lengths": [], "cosine": None}
    assert make_rule(kind="uniform", denominator="all").memory is None


def test_probes_are_on_step_1_and_every_so_many_after_it():
    for every, steps in ((0, []), (1, [1, 2, 3, 4, 5, 6, 7]), (2, [1, 3, 5, 7]), (3, [1, 4, 7])):
        rule = make_rule(**RULE | {"probe_every": every, "cosine": 0.25 if every else None})
        assert [step for step in range(1, 8) if rule.probes(step)] == steps
    assert not make_rule(kind="uniform", denominator="all").probes(1)


@pytest.mark.parametrize("given", [{"probe_every": 0}, {"cosine": None}])
def test_a_bound_without_a_probe_is_refused_and_a_probe_without_a_bound(given):
    with pytest.raises(UserError, match="probe_every above 0 and cosine belong together"):
        make_rule(**RULE | given)
