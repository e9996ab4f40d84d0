"""Group advantages.  This is a module of its own, so that a stage without a loss does not depend on the loss.

Knows one number a response (R).  Computes in float64 and returns float32, as the tables store it.
"""

import torch

from tokenspectrum.errors import UserError

STD_EPS = 1e-6


def group_advantages(rewards_R: torch.Tensor, group_R: torch.Tensor) -> torch.Tensor:
    """A = (R - mean) / (std + 1e-6) over the responses of a prompt, unbiased std; float32.  Equal rewards get 0.

    rewards_R  float, with the overlong penalty
    group_R    int64, the prompt's index in the batch, 0 to G-1, in any order; groups may differ in size
    Raises UserError for a group with fewer than two responses and for a reward that is not finite.
    """
    if not bool(rewards_R.isfinite().all()):
        bad = int(rewards_R.isfinite().logical_not().nonzero()[0])
        raise UserError(
            f"reward of response {bad} is {float(rewards_R[bad])}: rewards must be finite; check the reward"
        )
    size_G = torch.bincount(group_R)
    if len(size_G) == 0 or int(size_G.min()) < 2:
        group = int(size_G.argmin()) if len(size_G) else 0
        size = int(size_G[group]) if len(size_G) else 0
        raise UserError(
            f"response group {group} of the batch has {size} responses: an advantage needs at least 2; raise sampling.n"
        )
    reward_R = rewards_R.double()
    zero_G = torch.zeros(len(size_G), dtype=torch.float64)
    mean_G = zero_G.index_add(0, group_R, reward_R) / size_G
    centred_R = reward_R - mean_G[group_R]
    std_G = (zero_G.index_add(0, group_R, centred_R.square()) / (size_G - 1)).sqrt()
    # Rounding of the mean must not become an advantage.  So compare the rewards themselves to see if they are equal.
    low_G = zero_G.scatter_reduce(0, group_R, reward_R, "amin", include_self=False)
    high_G = zero_G.scatter_reduce(0, group_R, reward_R, "amax", include_self=False)
    advantage_R = centred_R / (std_G[group_R] + STD_EPS)
    return torch.where((low_G == high_G)[group_R], 0.0, advantage_R).float()
