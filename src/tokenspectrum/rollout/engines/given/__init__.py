"""Engine `given`: samples nothing.  The sample stage takes the responses of a file instead (rollout/given.py)."""
