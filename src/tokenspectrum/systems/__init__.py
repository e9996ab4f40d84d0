"""How and where the work runs: processes, Ray, progress, memory and volume.  Nothing here decides a byte of a result.

So none of it is in a stage's key.  Imports nothing of weighting, entropy, reward, rollout or training.
"""
