"""Weighting: which response tokens an update listens to, and how much.  The rules are in rules/, one file each.

Knows scores and rules, no model or reward.
"""
