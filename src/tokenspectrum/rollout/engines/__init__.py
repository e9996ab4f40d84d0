"""The rollout engines, one folder each: `rollouts.engine` and `evaluate.engine` choose."""
