"""How and where the work runs: processes, Ray, progress, memory and volume.  Nothing here decides a byte of a result.

Imports nothing of weighting, entropy, reward, rollout or training; results code may call it.
"""
