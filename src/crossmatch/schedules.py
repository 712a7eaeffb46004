"""Schedules: functions of the progress of a run, from 0 at the first step to 1 after the last."""

import torch
from torch import Tensor


def poly_decay(progress: float, power: float = 0.9) -> float:
    """Factor of the learning rate, (1 - progress)^power; the released 2D code's power is 0.9."""
    return float(max(0.0, 1.0 - progress) ** power)


def ramp_up(progress: Tensor, length: float) -> Tensor:
    """Factor that grows from exp(-5) to 1 over the first `length` (share of the run) and stays there; 0: always 1.

    exp(-5 (1 - t)^2), the ramp of Laine and Aila, "Temporal Ensembling", ICLR 2017, used throughout the field.
    """
    if length == 0:
        return torch.ones_like(progress)
    return torch.exp(-5 * (1 - (progress / length).clamp(max=1)) ** 2)
