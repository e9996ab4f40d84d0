"""Reward: the boxed verifier, the overlong penalty and the alternative scorer.  Knows text, no model and no tokens."""
