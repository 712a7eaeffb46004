"""URPC: predictions at several scales of one decoder are made to agree, most where they are certain.

Shapes: B batch, C channels, K classes, *S space; s counts the scales, finest first.
Source: Luo et al., "Efficient Semi-supervised Gross Target Volume of Nasopharyngeal Carcinoma Segmentation via
Uncertainty Rectified Pyramid Consistency", MICCAI 2021, extended in Medical Image Analysis 80, 2022; constants of the
released code github.com/HiLab-git/SSL4MIS, commit 06df604, 2D.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from crossmatch.batches.batch import Batch
from crossmatch.methods.losses import DiceSettings, kl_divergence, supervised_loss
from crossmatch.methods.method import Method, MethodSettings
from crossmatch.methods.schedules import ramp_up
from crossmatch.networks import layers
from crossmatch.networks.segmenter import Segmenter
from crossmatch.settings import Fraction, NonNegative

KERNEL = 3  # of the heads, released 2D; released 3D: 1
EPSILON = 1e-8  # released, beside the mean weight of the voxels


class URPCSettings(MethodSettings):
    """Weight, warm-up, interpolation. The defaults are the released constants in 2D; weight and warm-up also in 3D."""

    unlabelled_weight: NonNegative = 0.1
    """Weight of the agreement between scales, after the warm-up."""
    warm_up: Fraction = 1.0
    """Share of the run in which `unlabelled_weight` grows to its full value. 0: from the start."""
    enlarging: Literal["nearest", "linear"] = "nearest"
    """How predictions of coarser scales become as large as the image. Released: nearest in 2D, linear in 3D."""


def noisy(x: Tensor) -> Tensor:
    """Features (B, C, *S), each multiplied by a factor from U(0.7, 1.3). All images of the batch share the factors."""
    return x * (0.7 + 0.6 * torch.rand(x.shape[1:], device=x.device)).to(x.dtype)


def without_peaks(x: Tensor) -> Tensor:
    """Features (B, C, *S), 0 where their mean over channels is high: at least U(0.7, 0.9) of the image's maximum."""
    attention = x.mean(1, keepdim=True)
    share = 0.7 + 0.2 * torch.rand((), device=x.device)
    return x * (attention < share * attention.amax(tuple(range(1, x.ndim)), keepdim=True))


def thinned(x: Tensor) -> Tensor:
    """Features (B, C, *S), half of them 0, the others doubled."""
    return functional.dropout(x, 0.5)


# What perturbs the features before each head in train mode, finest scale first, as in the released 2D code.
PERTURBATIONS: tuple[Callable[[Tensor], Tensor], ...] = (nn.Identity(), noisy, without_peaks, thinned)


def pyramid_consistency(scales: Tensor) -> tuple[Tensor, Tensor]:
    """How far the predictions of the scales lie from their mean: logits (s, B, K, *S) -> loss, mean divergence.

    Let p_s be the softmax of a scale, p the mean over scales, and D_s = KL(p || p_s) the uncertainty of a voxel. The
    loss is the mean over s of  mean(exp(-D_s) (p - p_s)^2) / mean(exp(-D_s)) + mean(D_s).

    As released, nothing is detached, and the square's mean is over classes too.
    """
    log_p_s = scales.float().log_softmax(2)
    log_p = log_p_s.logsumexp(0) - math.log(len(scales))
    losses, divergences = [], []
    for log_q in log_p_s:
        divergence = kl_divergence(log_q, log_p)
        certainty = torch.exp(-divergence)
        square = (log_p.exp() - log_q.exp()) ** 2
        rectified = (square * certainty.unsqueeze(1)).mean() / (certainty.mean() + EPSILON)
        losses.append(rectified + divergence.mean())
        divergences.append(divergence.mean())
    return torch.stack(losses).mean(), torch.stack(divergences).mean().detach()


class URPC(Method):
    """L = mean over scales of L_sup + weight(t) L_urpc, from one pass over the labelled images and the weak view.

    The network's own head is the finest scale. Up to three coarser maps of its decoder get heads of the method, which
    are not needed after training. With a decoder of one level there is one scale, and nothing is learned from
    unlabelled images. Features are perturbed as released in 2D. Released 3D: by dropout inside the decoder, of 0.1 also
    before the finest head, and heads of kernel 1.
    """

    about = "predictions at several scales of the decoder agree, rectified by their uncertainty"
    paper = "Luo et al., MICCAI 2021, arXiv 2012.07042; Medical Image Analysis 2022"
    version = 2
    Settings = URPCSettings
    settings: URPCSettings

    def __init__(self, network: Segmenter, settings: URPCSettings, dice: DiceSettings) -> None:
        super().__init__(network, settings, dice)
        scales = min(len(network.decoder_channels), len(PERTURBATIONS))
        self.heads = nn.ModuleList(network.another_head(level, kernel=KERNEL) for level in range(1, scales))

    def loss(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        """``sup``; ``consistency``: L_urpc; ``divergence``: the scales' mean KL divergence, without gradient."""
        assert batch.u is not None
        chosen, labelled = self.settings, len(batch.x)
        scales = self.pyramid(torch.cat([batch.x, batch.u.weak]))
        sup = torch.stack([supervised_loss(scale, batch.y, self.dice) for scale in scales[:, :labelled]]).mean()
        consistency, divergence = pyramid_consistency(scales[:, labelled:])
        weight = chosen.unlabelled_weight * ramp_up(progress, chosen.warm_up)
        total = sup + weight * consistency
        return {"total": total, "sup": sup, "consistency": consistency, "divergence": divergence}

    def pyramid(self, images: Tensor) -> Tensor:
        """Images (B, C, *S) -> logits of every scale at full size (s, B, K, *S), finest first."""
        features = self.network.decoder(self.network.encode(images))
        scales = []
        for level, perturb, head in zip(features, PERTURBATIONS, [self.network.head, *self.heads], strict=False):
            logits = head(perturb(level) if self.training else level)
            scales.append(layers.enlarge(logits.float(), tuple(images.shape[2:]), self.settings.enlarging))
        return torch.stack(scales)
