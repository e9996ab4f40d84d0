"""verl as it is installed: the estimator of docs/use-in-your-trainer.md, and the rollouts that verl itself dumps."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tokenspectrum.importing import verl as dumped

PAGE = (Path(__file__).resolve().parents[2] / "docs/use-in-your-trainer.md").read_text()


def test_the_page_s_estimator_weighs_verl_s_advantages():
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage, get_adv_estimator_fn

    code = re.search(r"## verl\n.*?```python\n(.*?)```", PAGE, re.DOTALL)
    assert code
    exec(compile(code[1], "use-in-your-trainer.md, verl", "exec"), {})
    lengths = torch.tensor([10, 5, 3, 8])
    mask = (torch.arange(10) < lengths[:, None]).float()
    rewards = torch.zeros(4, 10)
    rewards[range(4), lengths - 1] = torch.tensor([1.0, -1.0, 1.0, 1.0])
    index = np.array(["a", "a", "b", "b"], dtype=object)
    advantages, _ = get_adv_estimator_fn("weighted_grpo")(
        token_level_rewards=rewards, response_mask=mask, index=index, config=None
    )
    plain, _ = compute_grpo_outcome_advantage(rewards, mask, index)
    wanted = torch.zeros_like(plain)
    for row, n in enumerate(lengths.tolist()):
        front = [t for t in range(n) if (t + 1) / n <= 0.2]
        wanted[row, front] = plain[row, front]
    torch.testing.assert_close(advantages, wanted)
    assert advantages[0].count_nonzero() == 2


def test_what_verl_dumps_can_be_imported(tmp_path):
    from verl.trainer.ppo.ray_trainer import RayPPOTrainer

    RayPPOTrainer._write_generations(
        ["user\n1+1", "user\n2+2"], ["2", "5"], ["2", "4"], [1.0, 0.0], {"acc": [True, False]}, str(tmp_path), 7
    )
    records = list(dumped.read([tmp_path]))
    assert [(r.step, r.prompt, r.response, r.reward, r.gold) for r in records] == [
        (7, "user\n1+1", "2", 1.0, "2"),
        (7, "user\n2+2", "5", 0.0, "4"),
    ]
    assert records[0].reward == pytest.approx(1.0)
