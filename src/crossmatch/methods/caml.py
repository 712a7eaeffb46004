"""CAML (correlation-aware mutual learning): two networks agree, also in how voxels relate to a memory of features.

Shapes: B batch, C channels, K classes, *S space, E features, M memory vectors of a class, r rows (chosen voxels).
Source: Gao, Zhang, Ma, Li, Zhang, "Correlation-Aware Mutual Learning for Semi-supervised Medical Image Segmentation",
MICCAI 2023; released code github.com/Herschel555/CAML, code/train_caml.py, commit b635479.
"""

from math import gcd
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, labelled_dice
from crossmatch.methods.mcnet import mutual_consistency
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.schedules import ramp_up
from crossmatch.methods.separation import ClassQueue, VoxelHead, voxels
from crossmatch.networks.layers import other_upsamplings
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import Count, Fraction, NonNegative, Positive

WIDTH = 32  # features of a voxel after the projection, released
LEVEL = 3  # of the encoder that attention follows, 0 is the finest; released
HEADS, HIDDEN, DROPOUT = 4, 512, 0.5  # of the attention, released
NOT_THERE = -1e9  # in place of the product with a memory vector that is not there


class CAMLSettings(MethodSettings):
    """The defaults are the released constants, all of LA.

    The released weights grow every 150 steps; ours grow at every step.
    """

    supervised_weight: NonNegative = 0.5
    """Weight of the Dice loss of labelled images, summed over both networks."""
    unlabelled_weight: NonNegative = 1.0
    """Weight of the agreement with sharpened predictions, after the warm-up."""
    correlation_weight: NonNegative = 0.05
    """Weight of the agreement in correlations, after the warm-up."""
    warm_up: Fraction = 0.4
    """Share of the run in which both weights grow to their full values. 0: from the start. Released for 8 labelled
    scans: 0.2, for 16: 0.15."""
    sharpening: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Temperature that sharpens predictions."""
    temperature: Positive = 0.1
    """Temperature of the correlations."""
    chosen: Count = 12800
    """Largest number of unlabelled voxels of a class that are correlated; the most probable ones are taken."""
    vectors: Count = 256
    """Memory vectors of a class in a step, and how many are put into its queue in a step."""
    queue: Count = 4096
    """Memory vectors of a class that are kept. At least `vectors`."""
    dice_power: Literal[1, 2] = 1
    """Exponent in Dice's denominator."""


class Attention(nn.Module):
    """Two transformer layers in train mode: over the voxels of an image, then over the batch; nothing in `eval()`.

    Args:
        width: channels of the features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.over_voxels, self.over_batch = (
            nn.TransformerEncoderLayer(width, gcd(HEADS, width), HIDDEN, DROPOUT, batch_first=True) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, *S) -> the same shape."""
        if not self.training:
            return x
        tokens = self.over_voxels(x.flatten(2).transpose(1, 2))  # (B, voxels, C)
        tokens = self.over_batch(tokens.transpose(0, 1)).transpose(0, 1)
        return tokens.transpose(1, 2).reshape(x.shape)  # type: ignore[no-any-return]


class CAML(Method):
    """L = 0.5 L_sup + w_c(t) L_c + w_o(t) L_o, of a network V and an auxiliary network A.

    L_sup is the sum of both networks' Dice on labelled images, L_c their mutual consistency on all images (see MC-Net),
    L_o the omni-correlation of unlabelled ones, see `omni_correlation`. A has weights of its own, another upsampling,
    and attention over voxels and over the batch after the fourth level of its encoder, or the last but one of fewer.
    The memory has projected features, the mean of both networks', of labelled voxels that both predict rightly, the
    background too. V is the predictor; all else is left behind.

    What differs: the memory is a queue of each class on the device, 256 random voxels of a class in a step (released:
    on the CPU, all right voxels of each labelled scan, exchanged when the scan is drawn; there a transposition of A's
    features is missing, so that the memory averages V's with those of other voxels). A class counts in the memory once
    it has 256 vectors, as released. The recipe's Dice (released: foreground, smooth 1e-8). With several ranks each one
    has the queue of rank 0, as with all buffers.
    """

    about = "two networks, one with attention, agree in predictions and in correlations with a memory"
    paper = "Gao et al., MICCAI 2023, arXiv 2307.06312"
    remarks = ("Its parameters are those of two networks.",)
    Settings = CAMLSettings
    settings: CAMLSettings

    def __init__(self, network: Segmenter, settings: CAMLSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        self.auxiliary = network.another()
        self.auxiliary.decoder = network.another_decoder(other_upsamplings(network.UPSAMPLING)[0])
        blocks = self.auxiliary.encoder.get_submodule("blocks")
        assert isinstance(blocks, nn.ModuleList)
        level = min(LEVEL, len(network.decoder_channels) - 1)
        blocks[level] = nn.Sequential(blocks[level], Attention(network.decoder_channels[level]))
        self.projections = nn.ModuleList(VoxelHead(network.decoder_channels[0], WIDTH) for _ in range(2))
        self.predictions = nn.ModuleList(VoxelHead(WIDTH, WIDTH) for _ in range(2))
        self.queue = ClassQueue(network.classes, max(settings.queue, settings.vectors), WIDTH)

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``, ``consistency``, ``correlation``, ``weight``, the warm-up's share of the last two, ``total``."""
        assert batch.u is not None
        chosen, labelled, images = self.settings, len(batch.x), torch.cat([batch.x, batch.u.weak])
        networks = (self.network, self.auxiliary)
        features = [net.last_dropout(net.decoder(net.encode(images))[0]) for net in networks]
        probabilities = [net.head(f).float().softmax(1) for net, f in zip(networks, features, strict=True)]
        if self.training:
            self._remember([f[:labelled] for f in features], [p[:labelled] for p in probabilities], batch.y)
        sup = [labelled_dice(p[:labelled], batch.y, self.dice, chosen.dice_power) for p in probabilities]
        terms = {
            "sup": torch.stack(sup).sum(),
            "consistency": mutual_consistency(probabilities, chosen.sharpening),
            "correlation": self._correlation([f[labelled:] for f in features], [p[labelled:] for p in probabilities]),
            "weight": ramp_up(progress, chosen.warm_up),
        }
        unlabelled = chosen.unlabelled_weight * terms["consistency"] + chosen.correlation_weight * terms["correlation"]
        terms["total"] = chosen.supervised_weight * terms["sup"] + terms["weight"] * unlabelled
        return terms

    def _correlation(self, features: list[Tensor], probabilities: list[Tensor]) -> Tensor:
        heads = zip(self.projections, self.predictions, features, strict=True)
        predicted = [prediction(projection(voxels(f))) for projection, prediction, f in heads]
        label = probabilities[0].argmax(1)
        agreed = (label == probabilities[1].argmax(1)).flatten()
        sure = probabilities[0].amax(1).flatten()
        memory, there = self.queue.sample(self.settings.vectors)
        rows, valid = most_probable(sure, label.flatten(), agreed, len(memory), self.settings.chosen)
        first, second = (predicted[i][rows] for i in (0, 1))
        return omni_correlation(first, second, valid, memory, there, self.settings.temperature)

    @torch.no_grad()
    def _remember(self, features: list[Tensor], probabilities: list[Tensor], label: Tensor) -> None:
        projected = [head.fixed(voxels(f)) for head, f in zip(self._heads(), features, strict=True)]
        right = (probabilities[0].argmax(1) == label) & (probabilities[1].argmax(1) == label)
        mean = (projected[0] + projected[1]) / 2
        for value in range(self.network.classes):
            self.queue.push(value, mean, (right & (label == value)).flatten(), self.settings.vectors)

    def _heads(self) -> list[VoxelHead]:
        return [head for head in self.projections if isinstance(head, VoxelHead)]


def most_probable(
    probability: Tensor, label: Tensor, counted: Tensor, classes: int, count: int
) -> tuple[Tensor, Tensor]:
    """Numbers of the most probable voxels of each class, falling, class after class; and which of them are there.

    Args:
        probability, label, counted: (n,) float, integers, bool: which voxels to choose from.
        classes: K; count: most voxels of a class.

    Returns:
        (r,) int64 and (r,) bool, those that are there first; r is K times the count, or n where that is less.
    """
    worth = [torch.where(counted & (label == value), probability, -1.0) for value in range(classes)]
    best = [w.topk(min(count, len(w))) for w in worth]
    rows, there = torch.cat([b.indices for b in best]), torch.cat([b.values for b in best]) >= 0
    first = there.logical_not().byte().argsort(stable=True)[: len(label)]  # no more than all voxels can be there
    return rows[first], there[first]


def omni_correlation(
    first: Tensor, second: Tensor, valid: Tensor, memory: Tensor, there: Tensor, temperature: float
) -> Tensor:
    """Mean over voxels of the cross entropy of both networks' correlations, - sum C_A log(C_V + 1e-8).

    A correlation is the softmax over all memory vectors of the product with a voxel's features, over the temperature.
    Both sides learn. 0 where there is no voxel or no memory.

    Args:
        first, second: features (r, E) of V and A; valid: (r,) bool, the voxels that count.
        memory, there: (K, M, E) and (K, M) bool, the vectors that count.
    """
    one, other = (correlation(features, memory, there, temperature) for features in (first, second))
    entropy = -(other * (one + 1e-8).log()).sum(1)
    mean = (entropy * valid).sum() / valid.sum().clamp(min=1)
    return torch.where(there.any(), mean, 0.0)


def correlation(features: Tensor, memory: Tensor, there: Tensor, temperature: float) -> Tensor:
    """Softmax (r, K M) of features (r, E) against memory vectors (K, M, E), 0 for those that are not there."""
    with torch.autocast(features.device.type, enabled=False):
        product = features.float() @ memory.flatten(0, 1).T / temperature
    return product.masked_fill(~there.flatten(), NOT_THERE).softmax(1)
