"""Rollouts: engines that sample responses, how responses are judged, and how they are scored under a policy."""
