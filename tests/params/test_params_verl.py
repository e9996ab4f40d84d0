"""train.verl_overrides: what our params set, or the trainer rests on, is refused by name.  Without verl itself."""

import copy
from pathlib import Path

import pytest

from tokenspectrum.errors import UserError
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.root import parse_params
from tokenspectrum.training.backends.verl.config import VerlFiles, config_of

ROOT = Path(__file__).resolve().parents[2]
FILES = VerlFiles(Path("train.parquet"), Path("val.parquet"), Path("policy"), Path("checkpoints"))


def config(overrides, **train):
    data = copy.deepcopy(read_preset("tiny", ROOT / "presets").data)
    data["train"] |= {"trainer": "verl", "verl_overrides": overrides} | train
    params = parse_params(data, "tiny")
    return config_of(params.train, params.sampling, params.systems, 1, FILES, name="full-s1")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"actor_rollout_ref.rollout.top_p": 0.9}, "actor_rollout_ref.rollout.top_p is set by sampling.top_p"),
        ({"actor_rollout_ref": {"rollout": {"n": 4}}}, "actor_rollout_ref.rollout.n is set by sampling.n"),
        ({"trainer.nnodes": 2}, "trainer.nnodes is set by systems.verl.nodes"),
        ({"actor_rollout_ref.actor.optim.lr": 1.0}, "is set by train.learning_rate"),
        ({"actor_rollout_ref.actor.loss_agg_mode": "seq-mean-token-sum"}, "must stay 'token-mean'"),
        ({"trainer.val_before_train": True}, "must stay False"),
        ({"critic.optim.lr": 1.0}, "critic.optim.lr would change nothing: there is no critic"),
        ({"algorithm.gamma": 0.9}, "algorithm.gamma would change nothing"),
        (
            {"algorithm.rollout_correction.rollout_is": "token"},
            "algorithm.rollout_correction.rollout_is would change nothing: it is ours; see train.rollout_is_threshold",
        ),
        ({"data.truncation": "right"}, "data.truncation is set by the trainer itself"),
        ({"data.shuffle": True}, "data.shuffle would change nothing"),
        ({"trainer.balance_batch": False}, "trainer.balance_batch would change nothing"),
        ({"reward.reward_manager.name": "naive"}, "the reward is ours"),
    ],
    ids=str,
)
def test_an_override_of_what_is_ours_is_one_line(overrides, said):
    with pytest.raises(UserError) as e:
        config(overrides)
    assert said in str(e.value)
    assert str(e.value).startswith("train.verl_overrides: ")


def test_the_threshold_of_the_correction_is_verls_own_and_without_one_verl_keeps_its_default():
    key = "algorithm.rollout_correction"
    assert not [name for name in config({}) if name.startswith(key)]
    found = config({}, rollout_is_threshold=2.5)
    assert (found[f"{key}.rollout_is"], found[f"{key}.rollout_is_threshold"]) == ("token", 2.5)
    with pytest.raises(UserError, match=r"rollout_is_threshold is set by train\.rollout_is_threshold"):
        config({f"{key}.rollout_is_threshold": 3.0}, rollout_is_threshold=2.5)


def test_any_other_key_is_passed_on():
    assert config({"reward.num_workers": 3})["reward.num_workers"] == 3
    assert (
        config({"actor_rollout_ref.rollout.enable_prefix_caching": False})[
            "actor_rollout_ref.rollout.enable_prefix_caching"
        ]
        is False
    )
    key = "actor_rollout_ref.rollout.enforce_eager"
    assert config({})[key] is True
    assert config({key: False})[key] is False
