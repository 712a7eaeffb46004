"""SS-Net: predictions are smooth under the worst small change of the image, and classes lie apart.

Shapes: B batch, C channels, K classes, *S space.
Source: Wu et al., "Exploring Smoothness and Class-Separation for Semi-supervised Medical Image Segmentation", MICCAI
2022; released code github.com/ycwu1997/SS-Net, code/train_ss_2d.py and train_ss_3d.py, commit c0a8bf6.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, labelled_dice, soft_dice
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.schedules import ramp_up
from crossmatch.methods.separation import ClassMemory, Selector, VoxelHead, class_separation, voxels
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import Fraction, NonNegative, Positive

WIDTH, VECTORS = 32, 32  # features of a voxel after the projection, and vectors of a class in the memory; released
PROBE = 10.0  # length of the step that finds the worst direction; released


class SSNetSettings(MethodSettings):
    """The defaults are the released 2D constants.

    The released weight grows every 150 steps; ours grows at every step.
    """

    unlabelled_weight: NonNegative = 0.1
    """Weight of smoothness and separation, after the warm-up. Released 3D: 1."""
    warm_up: Fraction = 1.0
    """Share of the run in which `unlabelled_weight` grows to its full value. 0: from the start. Released 3D: 0.4."""
    separation_weight: NonNegative = 0.1
    """Weight of the class separation beside the smoothness, which has 1."""
    change: Positive = 6.0
    """Length of the worst change, the L2 norm over all voxels of an image. Released 3D: 10."""
    memory: Literal["trusted", "released"] = "trusted"
    """Vectors that the memory keeps. `trusted`: the best of every class, with learned weights. `released`: the worst of
    each foreground class, with equal weights."""
    dice_power: Literal[1, 2] = 2
    """Exponent in Dice's denominator. Released 3D: 1, and the smoothness is measured over all classes together."""


class SSNet(Method):
    """L = Dice(p, y) + w(t) (L_smooth + 0.1 (L_sep of labelled + L_sep of unlabelled images)).

    L_smooth is the Dice of the prediction (no gradient) and that of the image plus its worst change: the direction in
    which the prediction differs most, found by one gradient (virtual adversarial training), for all images. These
    passes use the batch's statistics and leave the running ones alone. L_sep pulls each voxel's features to a memory of
    its class, see `class_separation`: of labelled images by their labels, of unlabelled ones by the prediction. The
    memory has the projected features of voxels that are labelled and predicted rightly, anew in every step. No cross
    entropy, as released. The network is the predictor; what stands on its features is left behind.

    What differs: the memory, unless ``memory = "released"``: the released one sorts upwards and so keeps the least
    trusted vectors, never takes the background, which still counts in the mean of classes, and normalises the memory's
    weights along an axis of length 1, so that they are all 1 and their selectors learn nothing. The prediction that the
    smoothness compares with is that of the main pass (released: a further pass). The recipe's Dice (released: smooth
    1e-10 in 2D; 3D foreground, 1e-8).

    With several ranks each one has the memory of rank 0, as with all buffers, and selectors' statistics of its own.
    """

    about = "predictions are smooth under the worst small change of the image; voxels' features come near their class"
    paper = "Wu et al., MICCAI 2022, arXiv 2203.01324"
    Settings = SSNetSettings
    settings: SSNetSettings

    def __init__(self, network: Segmenter, settings: SSNetSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        trusted = settings.memory == "trusted"
        self.projection = VoxelHead(network.decoder_channels[0], WIDTH)
        self.prediction = VoxelHead(WIDTH, WIDTH)
        self.selectors = nn.ModuleList(Selector(WIDTH) for _ in range(network.classes))
        self.memory_selectors = nn.ModuleList(Selector(WIDTH) for _ in range(network.classes)) if trusted else None
        self.memory = ClassMemory(network.classes, VECTORS, WIDTH)

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``; ``smoothness``; ``separation``, that of both kinds of images; ``weight`` of these two; ``total``."""
        assert batch.u is not None
        network, chosen, labelled = self.network, self.settings, len(batch.x)
        images = torch.cat([batch.x, batch.u.weak])
        features = network.last_dropout(network.decoder(network.encode(images))[0])
        logits = network.head(features).float()
        probability = logits.softmax(1)
        terms = {
            "sup": labelled_dice(probability[:labelled], batch.y, self.dice, chosen.dice_power),
            "smoothness": self.smoothness(images, probability.detach()),
            "separation": torch.stack(self.separation(features, logits, batch.y)).sum(),
            "weight": chosen.unlabelled_weight * ramp_up(progress, chosen.warm_up),
        }
        unlabelled = terms["smoothness"] + chosen.separation_weight * terms["separation"]
        terms["total"] = terms["sup"] + terms["weight"] * unlabelled
        return terms

    def smoothness(self, images: Tensor, reference: Tensor) -> Tensor:
        """How far the worst change of images (B, C, *S) moves their softmax from the reference (B, K, *S)."""

        def distance(change: Tensor) -> Tensor:
            buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}  # these move instead
            changed = functional_call(self.network, buffers, (images + change,))
            return prediction_distance(
                changed.float().softmax(1), reference, self.dice.smooth, self.settings.dice_power
            )

        worst = gradient_of(lambda change: distance(PROBE * change), unit_length(torch.rand_like(images) - 0.5))
        return distance(self.settings.change * unit_length(worst))

    def separation(self, features: Tensor, logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Class separation of labelled and of unlabelled images; in train mode the memory is filled first.

        Args:
            features: (B, E, *S), what the head sees; logits: (B, K, *S), what it makes of them.
            label: integers (b, *S) of the first b images.
        """
        guess = logits.argmax(1)
        x, u = voxels(features[: len(label)]), voxels(features[len(label) :])
        true, guess_x, guess_u = label.flatten(), guess[: len(label)].flatten(), guess[len(label) :].flatten()
        if self.training:
            self._remember(self.projection.fixed(x), true, guess_x)
        return (
            self._separated(self.prediction(self.projection(x)), true),
            self._separated(self.prediction(self.projection(u)), guess_u),
        )

    def _separated(self, predicted: Tensor, label: Tensor) -> Tensor:
        return class_separation(predicted, label, self.memory, self.selectors, self.memory_selectors)

    @torch.no_grad()
    def _remember(self, projected: Tensor, label: Tensor, guess: Tensor) -> None:
        released = self.settings.memory == "released"
        for value, selector in enumerate(self.selectors):
            if released and value == 0:
                continue
            counted = (label == value) & (guess == value)
            worth = selector(projected, counted)
            self.memory.replace(value, projected, -worth if released else worth, counted)


def gradient_of(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The gradient of a scalar function of a tensor, without a graph of its own.

    The first way compiles, the second one works with batch normalisation over several ranks.
    """
    if torch.compiler.is_compiling():
        found: Tensor = grad(function)(at)
        return found.detach()
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        return torch.autograd.grad(function(at), at)[0]


def unit_length(change: Tensor) -> Tensor:
    """Each image's change (B, C, *S) over its L2 norm."""
    norm = change.square().sum(tuple(range(1, change.ndim)), keepdim=True).sqrt()
    return change / (norm + 1e-8)


def prediction_distance(first: Tensor, second: Tensor, smooth: float, power: int) -> Tensor:
    """Dice of two softmaxes (B, K, *S) with background: mean of classes; with power 1 all classes in one sum."""
    if power == 1:
        first, second = first.flatten(1).unsqueeze(1), second.flatten(1).unsqueeze(1)
    return soft_dice(first, second, smooth, power).mean()
