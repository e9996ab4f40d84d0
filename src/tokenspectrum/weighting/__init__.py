"""Weighting: which response tokens an update listens to, and how much.  Knows scores and rules, no model or reward."""
