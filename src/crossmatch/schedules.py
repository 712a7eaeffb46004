"""Schedules: functions of the progress of a run, from 0 at the first step to 1 after the last."""


def poly_decay(progress: float, power: float = 0.9) -> float:
    """Factor of the learning rate, (1 - progress)^power; the released 2D code's power is 0.9."""
    return float(max(0.0, 1.0 - progress) ** power)
