"""Schedules: functions of the progress of a run, from 0 at the first step to 1 after the last."""

import torch
from torch import Tensor


def poly_decay(progress: float, power: float = 0.9, horizon: float = 1.0) -> float:
    """Factor of the learning rate, (1 - progress / horizon)^power.

    The released power is 0.9. The released 3D horizon is always 17,000 steps, which is 17 / 14 of a run of 14,000.
    """
    return float(max(0.0, 1.0 - progress / horizon) ** power)


def ramp_up(progress: Tensor, length: float) -> Tensor:
    """Factor that grows from exp(-5) to 1 over the first `length` (share of the run) and stays there; 0: always 1.

    >>> ramp_up(torch.tensor([0.0, 0.25, 0.5, 1.0]), length=0.5)
    tensor([0.0067, 0.2865, 1.0000, 1.0000])

    exp(-5 (1 - t)^2), the ramp of Laine and Aila, "Temporal Ensembling", ICLR 2017, used throughout the field.
    """
    if length == 0:
        return torch.ones_like(progress)
    return torch.exp(-5 * (1 - (progress / length).clamp(max=1)) ** 2)


def threshold_at(progress: Tensor, start: float, ramp: float, scale: float) -> Tensor | float:
    """The confidence that a pseudo-label must reach: constant, or rising towards 1.

    Args:
        progress: scalar tensor.
        start: the threshold at the beginning.
        ramp: where it would reach 1, in lengths of the run. 0: it stays at `start`.
        scale: factor of the result. The released 3D code multiplies by ln 2, which belongs to thresholds on an entropy.
            With two classes the softmax maximum is at least 0.5, so such a threshold leaves hardly anything out.

    The released 3D schedule has start 0.75, a ramp of 17,000 steps and scale ln 2. It lags by one step, and its first
    value is 0.75 without ln 2.
    """
    return start * scale if ramp == 0 else (start + (1 - start) * ramp_up(progress, ramp)) * scale
