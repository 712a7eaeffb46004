"""Batch statistics that fit the network that is evaluated: re-estimated on clean weak views of training images.

While a network learns, its batch normalisation gathers running statistics of all that passes through: clean, dropped
and strongly disturbed images, and features after dropout. Evaluation sees clean images and no dropout, so these
statistics do not fit, least of all in short runs. Averaged weights have the statistics of other weights.

Shapes: B batch, C channels, *S space.
"""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from crossmatch.networks.segmenter import Segmenter

PASSES = 20  # batches that the statistics are taken from


@torch.no_grad()
def recalibrated(network: Segmenter, images: Iterable[Tensor]) -> Segmenter:
    """A copy of a network in eval mode whose running statistics are the mean over these batches.

    Nothing else changes: weights are the same, and the network that is given keeps its own statistics. Dropout is off.

    Args:
        network: on the device of the images.
        images: batches (B, C, *S); at least one.
    """
    fitted = copy.deepcopy(network).requires_grad_(False).eval()
    layers = [module for module in fitted.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    kept = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch's way to ask for a plain mean over all passes
        layer.train()
    for batch in images:
        fitted(batch)
    for layer, momentum in zip(layers, kept, strict=True):
        layer.momentum = momentum
    return fitted.eval()
