"""Batch statistics that fit the network that is evaluated: re-estimated on clean weak views of training images.

While a network learns, its batch normalisation gathers running statistics of all that passes through: clean, dropped
and strongly disturbed images, and features after dropout. Evaluation sees clean images and no dropout, so these
statistics do not fit, least of all in short runs. Averaged weights have the statistics of other weights.

Shapes: B batch, C channels, *S space.
"""

import copy
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from crossmatch.batches.views import Batches
from crossmatch.networks.segmenter import Segmenter
from crossmatch.training.state import TrainerState

PASSES = 20  # batches that the statistics are taken from


class Recalibration:
    """Call it before the network of a training is evaluated or kept: ``train.recalibrate``.

    The state's `fitted` network then has the weights that are to be evaluated, and statistics of the weak views of
    `PASSES` batches. These are the same batches each time, so the result is a function of weights and seed. Nothing
    happens if it has been called since the last step, or without the setting.

    Args:
        state: of the training. Its own networks keep their statistics.
        batches: whole ones, on one rank: other ranks are not asked.
        autocast: the precision of the training.
    """

    def __init__(
        self, state: TrainerState, batches: Batches, autocast: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.state, self.batches, self.autocast = state, batches, autocast
        self.done = -1

    def __call__(self) -> None:
        """Fit the statistics to the state's step."""
        if self.state.fitted is None or self.done == self.state.step:
            return
        self.state.fitted.load_state_dict(self.state.followed.state_dict())
        with self.autocast():
            fit_statistics(self.state.fitted, map(self.batches.weak_views, range(PASSES)))
        self.done = self.state.step


def recalibrated(network: Segmenter, images: Iterable[Tensor]) -> Segmenter:
    """A copy of a network in eval mode with other statistics, see `fit_statistics`."""
    fitted = copy.deepcopy(network).requires_grad_(False)
    fit_statistics(fitted, images)
    return fitted


@torch.no_grad()
def fit_statistics(network: Segmenter, images: Iterable[Tensor]) -> None:
    """Make a network's running statistics the mean over these batches. It is in eval mode then.

    Weights stay as they are, and dropout is off. A network without batch normalisation is not changed.

    Args:
        network: on the device of the images.
        images: batches (B, C, *S); at least one.
    """
    network.eval()
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not layers:
        return
    kept = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch's way to ask for a plain mean over all passes
        layer.train()
    for batch in images:
        network(batch)
    for layer, momentum in zip(layers, kept, strict=True):
        layer.momentum = momentum
    network.eval()
