"""The linear ramp of the soft rules' endpoints over rollout batches (ANCHOR eq. 29-30).  Knows no tokens."""


def ramp(s: int, s_warm: int | None) -> float:
    """r = min(s / S_warm, 1), where s counts rollout batches from 0; 0 if there is no ramp (s_warm None)."""
    return 0.0 if s_warm is None else min(s / s_warm, 1.0)


def between(ends: tuple[float, float], r: float) -> float:
    """Linear from ends[0] at r = 0 to ends[1] at r = 1, and exact at both ends."""
    return (1.0 - r) * ends[0] + r * ends[1]
