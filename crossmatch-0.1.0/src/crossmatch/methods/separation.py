"""Class separation: voxels' features come near those of a memory of their own class (SS-Net, CAML).

Shapes: n voxels, E features, K classes, M vectors of a class in the memory. Voxels of all images lie in one row of n.
Nothing waits for the device: classes are told apart by masks of all n voxels, not by indexing, whose shapes would
depend on the labels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def voxels(features: Tensor) -> Tensor:
    """Feature maps (B, E, *S) -> (n, E), last axis of an image fastest."""
    return features.movedim(1, -1).flatten(0, -2)


class VoxelHead(nn.Module):
    """Linear, batch normalisation, ReLU, linear: (n, inputs) -> (n, outputs), each voxel on its own.

    Args:
        inputs: features of a voxel; outputs: also those in between.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)
        self.last = nn.Linear(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, inputs) -> (n, outputs)."""
        found: Tensor = self.last(self.norm(self.first(x)).relu())
        return found

    @torch.no_grad()
    def fixed(self, x: Tensor) -> Tensor:
        """The same with the running statistics, as in `eval()`, and without gradient; nothing moves."""
        norm, hidden = self.norm, self.first(x)
        moments = (norm.running_mean, norm.running_var)
        hidden = functional.batch_norm(hidden, moments[0], moments[1], norm.weight, norm.bias, eps=norm.eps)
        found: Tensor = self.last(hidden.relu())
        return found


class Selector(nn.Module):
    """How much each voxel of a class is worth: linear, batch normalisation, leaky ReLU, linear to one number.

    The statistics are those of the voxels that count, in train mode and in `eval()`.

    Args:
        width: E.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(width, width), nn.Linear(width, 1)
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, counted: Tensor) -> Tensor:
        """Features (n, E) and which of them count, (n,) bool -> logits (n,); what does not count has any value."""
        hidden, share = self.first(x).float(), (counted / counted.sum().clamp(min=1)).unsqueeze(1)
        mean = (share * hidden).sum(0)
        variance = (share * (hidden - mean).square()).sum(0)
        hidden = (hidden - mean) * (variance + 1e-5).rsqrt() * self.scale + self.shift
        worth: Tensor = self.last(functional.leaky_relu(hidden, 0.2)).squeeze(1).float()
        return worth


class ClassMemory(nn.Module):
    """The last M vectors of each class that were chosen.

    Args:
        classes: K; vectors: M; width: E.
    """

    vectors: Tensor  # (K, M, E) float32
    filled: Tensor  # (K, M) bool

    def __init__(self, classes: int, vectors: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(classes, vectors, width))
        self.register_buffer("filled", torch.zeros(classes, vectors, dtype=torch.bool))

    @torch.no_grad()
    def replace(self, value: int, candidates: Tensor, worth: Tensor, counted: Tensor) -> None:
        """Take the M candidates of most worth in place of a class's vectors; without any the old ones stay.

        Args:
            value: the class; candidates: (n, E); worth: (n,).
            counted: (n,) bool, the voxels to choose from.
        """
        best = torch.where(counted, worth, -torch.inf).topk(min(self.filled.shape[1], len(worth))).indices
        chosen, valid = torch.zeros_like(self.vectors[value]), torch.zeros_like(self.filled[value])
        chosen[: len(best)], valid[: len(best)] = candidates[best].float(), counted[best]
        some = valid.any()
        self.vectors[value] = torch.where(some, chosen, self.vectors[value])
        self.filled[value] = torch.where(some, valid, self.filled[value])


class ClassQueue(nn.Module):
    """The newest Q vectors of each class, taken at random from those that count in each step.

    Args:
        classes: K; length: Q; width: E.
    """

    vectors: Tensor  # (K, Q, E) float32, the newest first
    filled: Tensor  # (K, Q) bool

    def __init__(self, classes: int, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(classes, length, width))
        self.register_buffer("filled", torch.zeros(classes, length, dtype=torch.bool))

    @torch.no_grad()
    def push(self, value: int, candidates: Tensor, counted: Tensor, count: int) -> None:
        """Put at most `count` of a class's candidates (n, E) at the front, of those that count, (n,) bool."""
        chosen = _at_random(counted, count)
        filled = torch.cat([counted[chosen], self.filled[value]])
        vectors = torch.cat([candidates[chosen].float(), self.vectors[value]])
        order = filled.logical_not().byte().argsort(stable=True)[: self.filled.shape[1]]
        self.vectors[value], self.filled[value] = vectors[order], filled[order]

    @torch.no_grad()
    def sample(self, count: int) -> tuple[Tensor, Tensor]:
        """Vectors (K, M, E), M = `count`, of each class at random, and which are there, (K, M) bool.

        A class that has fewer than `count` has none.
        """
        chosen = torch.stack([_at_random(filled, count) for filled in self.filled])
        there = self.filled.sum(1, keepdim=True) >= count
        return self.vectors.gather(1, chosen.unsqueeze(2).expand(-1, -1, self.vectors.shape[2])), there.expand(
            -1, count
        )


def _at_random(counted: Tensor, count: int) -> Tensor:
    """Numbers of `count` (or all) entries of a mask (n,), first those that count, in random order."""
    return (torch.rand(counted.shape, device=counted.device) + counted).topk(min(count, len(counted))).indices


def class_separation(
    predicted: Tensor,
    label: Tensor,
    memory: ClassMemory,
    selectors: nn.ModuleList,
    memory_selectors: nn.ModuleList | None,
) -> Tensor:
    """Sum over classes, over K, of the weighted mean distance 1 - cos(voxel, memory) of the class's voxels.

    Weights of voxels are sigmoid(selector), those of the memory likewise, or equal without selectors; their mean is 1.
    A class counts 0 with fewer than two voxels, or two vectors in the memory.

    Args:
        predicted: (n, E), which learn.
        label: (n,) integers.
        memory: what they come near to.
        selectors, memory_selectors: one a class, for voxels and for vectors; they learn too.
    """
    direction = functional.normalize(predicted.float(), dim=1)
    total = torch.zeros((), device=predicted.device)
    for value, selector in enumerate(selectors):
        counted, filled = label == value, memory.filled[value]
        vectors = functional.normalize(memory.vectors[value], dim=1)
        share = filled / filled.sum().clamp(min=1)
        if memory_selectors is not None:
            share = _shares(memory_selectors[value](vectors, filled), filled)
        distance = share.sum() - (direction * (share.unsqueeze(1) * vectors).sum(0)).sum(1)
        mean = (_shares(selector(predicted.detach(), counted), counted) * distance).sum()
        total = total + torch.where((counted.sum() > 1) & (filled.sum() > 1), mean, 0.0)
    return total / len(selectors)


def _shares(logits: Tensor, counted: Tensor) -> Tensor:
    """Sigmoids of what counts, as parts of their sum; 0 for the rest."""
    worth = torch.where(counted, torch.sigmoid(logits), 0.0)
    return worth / worth.sum().clamp(min=torch.finfo(worth.dtype).tiny)
