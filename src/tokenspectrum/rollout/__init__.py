"""Rollouts: engines that sample responses behind one protocol, and the scoring of what they sampled."""
