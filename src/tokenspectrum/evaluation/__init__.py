"""Evaluation: mean@k of a policy on benchmarks.  Knows nothing of how the policy was trained."""
