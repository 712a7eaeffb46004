"""A training step written from the paper's equations alone, as plain as it can be: what `step.py` compares ours with.

Float32, eager, contiguous, one pass after the other: the partners, then labelled and weak images, then the strong ones
(docs/architecture.md). Every stream makes its own one-hot labels and Dice; confident voxels by multiplication. It uses
our network, so the ratio is that of the step, not of another architecture.
Shapes: B batch, C channels, K classes, *S space.
"""

import torch
from torch import Tensor
from torch.nn import functional

from crossmatch.batches.batch import Batch
from crossmatch.methods.crossmatch import CrossMatchSettings
from crossmatch.methods.losses import DiceSettings
from crossmatch.networks.segmenter import Segmenter


def dice(logits: Tensor, label: Tensor, mask: Tensor, settings: DiceSettings) -> Tensor:
    """One minus Dice, class by class, voxels outside the mask left out."""
    probability, losses = logits.softmax(1), []
    target = functional.one_hot(label, logits.shape[1]).movedim(-1, 1).float()
    for k in range(0 if settings.background else 1, logits.shape[1]):
        p, t = probability[:, k], target[:, k]
        overlap, squares = (p * t * mask).sum(), (p * p * mask).sum() + (t * t * mask).sum()
        losses.append(1 - (2 * overlap + settings.smooth) / (squares + settings.smooth))
    return torch.stack(losses).mean()


def drop(features: list[Tensor], rate: float) -> list[Tensor]:
    """Whole-channel dropout on every level."""
    return [torch.feature_dropout(level, rate, True) for level in features]


def labels_of(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Hard pseudo-labels and their softmax maximum."""
    confidence, label = logits.detach().softmax(1).max(1)
    return label, confidence


def paste(own: tuple[Tensor, Tensor], partner: tuple[Tensor, Tensor], box: Tensor) -> tuple[Tensor, Tensor]:
    """CutMix of labels and confidences."""
    return torch.where(box, partner[0], own[0]), torch.where(box, partner[1], own[1])


def reference_loss(network: Segmenter, batch: Batch, method: CrossMatchSettings, settings: DiceSettings) -> Tensor:
    """The total of one step, three passes as the released code runs them; the threshold is the recipe's, constant."""
    assert batch.u is not None
    assert batch.mix is not None

    def dropped(features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        return drop(features, method.weak_rate), drop(features, method.strong_rate)

    x, y, u, mix, n = batch.x, batch.y, batch.u, batch.mix, len(batch.x)
    with torch.no_grad():
        m_clean = labels_of(network(mix.weak))
        features = network.encode(torch.cat([x, mix.weak]))
        partner = [level[n:] for level in features]
        views = [torch.cat(v) for v in zip(features, *dropped(partner), strict=True)]
        _, _, m_weak, m_strong = network.decode(views).split(n)
        m_weak_labels, m_strong_labels = labels_of(m_weak), labels_of(m_strong)

    features = network.encode(torch.cat([x, u.weak]))
    weak = [level[n:] for level in features]
    views = [torch.cat(v) for v in zip(features, *dropped(weak), strict=True)]
    lab, w_n, w_w, w_s = network.decode(views).split(n)

    box1, box2 = u.box.unbind(1)
    s1 = torch.where(box1.unsqueeze(1), mix.strong[:, 0], u.strong[:, 0])
    s2 = torch.where(box2.unsqueeze(1), mix.strong[:, 1], u.strong[:, 1])
    features = network.encode(torch.cat([s1, s2]))
    second = [level[n:] for level in features]
    views = [torch.cat(v) for v in zip(features, *dropped(second), strict=True)]
    s1_n, s2_n, s2_w, s2_s = network.decode(views).split(n)

    def match(logits: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
        return dice(logits, target[0], (target[1] >= method.threshold).float(), settings)

    t, t_w, t_s = labels_of(w_n), labels_of(w_w), labels_of(w_s)
    everywhere = torch.ones_like(y, dtype=torch.float32)
    supervised = (functional.cross_entropy(lab, y) + dice(lab, y, everywhere, settings)) / 2
    image = (match(s1_n, paste(t, m_clean, box1)) + match(s2_n, paste(t, m_clean, box2))) / 2
    teacher = (
        match(w_w, t) + match(w_s, t) + match(s2_w, paste(t, m_clean, box2)) + match(s2_s, paste(t, m_clean, box2))
    ) / 4
    decoder = (match(s2_w, paste(t_w, m_weak_labels, box2)) + match(s2_s, paste(t_s, m_strong_labels, box2))) / 2
    distillation = (1 - method.eta) * teacher + method.eta * decoder
    unlabelled = method.image_weight * image + method.distillation_weight * distillation
    return method.supervised_weight * supervised + unlabelled
