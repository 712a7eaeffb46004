"""SASSNet (shape-aware): a discriminator tells distance maps of labelled from those of unlabelled images.

Shapes: B batch, C channels, K classes, *S space.
Source: Li, Zhang, He, "Shape-aware Semi-supervised 3D Semantic Segmentation for Medical Images", MICCAI 2020; released
code github.com/kleinzcy/SASSnet, code/train_gan_sdfloss.py and networks/discriminator.py, commit 1761aa8.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from crossmatch.batches.batch import Batch
from crossmatch.methods.dtc import labelled_terms
from crossmatch.methods.losses import DiceSettings
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.schedules import ramp_up
from crossmatch.networks import layers
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import Fraction, NonNegative, Positive

KERNEL, SLOPE, DROPOUT = 4, 0.2, 0.5  # of the discriminator, released
BETAS = (0.9, 0.99)  # of its Adam, released


class SASSNetSettings(MethodSettings):
    """The defaults are the released constants of 16 labelled scans.

    The released weight grows every 150 steps; ours grows at every step.
    """

    distance_weight: NonNegative = 0.3
    """Weight of the distances to the boundary, labelled images."""
    unlabelled_weight: NonNegative = 0.01
    """Weight of the adversarial term, after the warm-up. Released for 8 labelled scans: 0.015."""
    warm_up: Fraction = 1.0
    """Share of the run in which `unlabelled_weight` grows to its full value. 0: from the start."""
    discriminator_rate: Positive = 1e-4
    """Learning rate of the discriminator, which has an Adam of its own."""


class Discriminator(nn.Module):
    """Distances and image -> two logits: of an unlabelled image, of a labelled one.

    Four convolutions of kernel 4 and stride 2, the first one a sum of both inputs' own; mean over space; linear. Leaky
    ReLU and channel dropout after each convolution, but no dropout after the last. The released 2D variant, which no
    script uses, has neither after the sum.

    Args:
        dims: 2 or 3 spatial axes.
        outputs: channels of the distances; channels: C, of the image.
        filters: of the first convolution; each further one has twice as many.
    """

    def __init__(self, dims: int, outputs: int, channels: int, filters: int = 64) -> None:
        super().__init__()
        self.distances = layers.conv_halving(dims, outputs, filters, KERNEL)
        self.image = layers.conv_halving(dims, channels, filters, KERNEL)
        widths = [filters, 2 * filters, 4 * filters, 8 * filters]
        pairs = pairwise(widths)
        self.further = nn.ModuleList(layers.conv_halving(dims, inputs, outputs, KERNEL) for inputs, outputs in pairs)
        self.dropout = layers.channel_dropout(dims, DROPOUT)
        self.last = nn.Linear(widths[-1], 2)

    def forward(self, distances: Tensor, image: Tensor) -> Tensor:
        """Distances (B, K - 1, *S) and images (B, C, *S) -> logits (B, 2)."""
        x = self.joined(distances, image)
        for number, convolution in enumerate(self.further, 1):
            x = functional.leaky_relu(convolution(_two_or_more(x)), SLOPE)
            x = self.dropout(x) if number < len(self.further) else x
        logits: Tensor = self.last(x.flatten(2).mean(2))
        return logits

    def joined(self, distances: Tensor, image: Tensor) -> Tensor:
        """The features of both inputs together, at half the size."""
        joined: Tensor = self.dropout(functional.leaky_relu(self.distances(distances) + self.image(image), SLOPE))
        return joined


class SASSNet(Method):
    """L = Dice(p, y) + 0.3 mean (s - D)^2 + w(t) CE(disc(s_u, u), "labelled"), with s = tanh of a second head.

    D is the signed distance map of the label, as in DTC. The discriminator sees the distance maps with their images and
    learns, with an optimiser of its own, which images are labelled: CE(disc(s, image), labelled or not) of all images,
    with distances that the network gives in `eval()`, without gradient. In the network's term it is in `eval()`, and
    nothing pushes its weights. Both terms stand in ``total``, so that one backward pass serves both optimisers. No
    cross entropy for the network, as released. The segmentation head predicts; all else is left behind.

    What differs: distances for the discriminator's step come from the network before its own step (released: after
    it); any number of classes, with a distance map for each but the background; the recipe's Dice (released:
    foreground, smooth 1e-5); maps of empty and full patches, see `signed_distance`; the discriminator's mean is over
    all that is left of the image (released: one window, which fits one size of patch), and 2D is as 3D.
    """

    about = "distances to the boundary, which a discriminator cannot tell from those of labelled images"
    paper = "Li et al., MICCAI 2020, arXiv 2007.10732"
    Settings = SASSNetSettings
    settings: SASSNetSettings

    def __init__(self, network: Segmenter, settings: SASSNetSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.distances = network.another_head(outputs=network.classes - 1)
        self.discriminator = Discriminator(network.dims, network.classes - 1, network.in_channels)

    def second_optimizer(self, capturable: bool) -> torch.optim.Optimizer:
        """Adam of the discriminator."""
        weights, rate = self.discriminator.parameters(), self.settings.discriminator_rate
        return torch.optim.Adam(weights, rate, BETAS, fused=True, capturable=capturable)

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``, ``distance``, ``adversarial``, ``weight``, that of the last, ``discriminator`` and ``total``."""
        assert batch.u is not None
        labelled, images = len(batch.x), torch.cat([batch.x, batch.u.weak])
        features = self.features(images)
        logits, distances = self.network.head(features).float(), self.distances(features).float().tanh()
        terms = labelled_terms(logits.softmax(1), distances, batch.y, self.dice) | {
            "adversarial": adversarial_loss(self.discriminator, distances[labelled:], batch.u.weak),
            "weight": self.settings.unlabelled_weight * ramp_up(progress, self.settings.warm_up),
            "discriminator": discriminator_loss(self.discriminator, self._settled(images), images, labelled),
        }
        network = terms["sup"] + self.settings.distance_weight * terms["distance"]
        terms["total"] = network + terms["weight"] * terms["adversarial"] + terms["discriminator"]
        return terms

    def features(self, images: Tensor) -> Tensor:
        """What both heads see of images (B, C, *S)."""
        features: Tensor = self.network.last_dropout(self.network.decoder(self.network.encode(images))[0])
        return features

    @torch.no_grad()
    def _settled(self, images: Tensor) -> Tensor:
        """The distances in `eval()`."""
        training = self.network.training
        self.network.eval()
        distances: Tensor = self.distances(self.features(images)).float().tanh()
        self.network.train(training)
        return distances


def adversarial_loss(discriminator: nn.Module, distances: Tensor, images: Tensor) -> Tensor:
    """Cross entropy of "labelled" for distances (B, K - 1, *S) and images; no gradient to the discriminator."""
    fixed = {name: weight.detach() for name, weight in discriminator.named_parameters()}
    training = discriminator.training
    discriminator.eval()
    logits = functional_call(discriminator, fixed, (distances, images)).float()
    discriminator.train(training)
    return functional.cross_entropy(logits, torch.ones(len(images), dtype=torch.long, device=images.device))


def discriminator_loss(discriminator: nn.Module, distances: Tensor, images: Tensor, labelled: int) -> Tensor:
    """Cross entropy of which images are labelled: the first ones, as many as are said."""
    truth = (torch.arange(len(images), device=images.device) < labelled).long()
    return functional.cross_entropy(discriminator(distances.detach(), images).float(), truth)


def _two_or_more(x: Tensor) -> Tensor:
    """With zeros added at the end of axes of one voxel, so that they can be halved once more."""
    missing = [max(0, 2 - length) for length in reversed(x.shape[2:])]
    return functional.pad(x, [amount for axis in missing for amount in (0, axis)]) if any(missing) else x
