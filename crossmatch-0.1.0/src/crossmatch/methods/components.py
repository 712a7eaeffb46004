"""The largest connected component of each class in a label map, found on the device without waiting for it.

Shapes: B batch, K classes, *S space, N voxels of an image. Images are enlarged by one background voxel at the end of
every axis, to n voxels, so that a step along an axis is a fixed step in memory that never leads into another line.
"""

import math
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional


@torch.no_grad()
def largest_components(label: Tensor, classes: int, connectivity: int) -> Tensor:
    """Keep of every image and class the component with most voxels; all else becomes background.

    Of components of equal size the one whose first voxel comes first (last axis fastest) is kept. A class that is
    absent stays absent.

    Args:
        label: integers (B, *S), 0 is background.
        classes: K, background included.
        connectivity: voxels are neighbours if their indices differ by at most 1, in at most so many axes (as SciPy's
            `generate_binary_structure`): 1: faces; as many as there are axes: corners too.

    Returns:
        (B, *S), of the type of `label`.
    """
    padded = functional.pad(label, (0, 1) * (label.ndim - 1))
    root, flat = component_roots(padded, classes, connectivity), padded.flatten(1)
    count = torch.zeros_like(root).scatter_add_(1, root, torch.ones_like(root))
    rank = count.gather(1, root) * root.shape[1] - root  # by size, then by first voxel; one number a component
    kept = torch.zeros_like(flat)
    for value in range(1, classes):
        of_class = torch.where(flat == value, rank, -1)
        kept = torch.where((flat == value) & (of_class == of_class.amax(1, keepdim=True)), flat, kept)
    inside = (slice(None), *(slice(length) for length in label.shape[1:]))
    return kept.view(padded.shape)[inside]


@torch.no_grad()
def component_roots(padded: Tensor, classes: int, connectivity: int) -> Tensor:
    """The first voxel of every voxel's component, as an index into the flat image.

    At first every voxel is a component. In a round, each component joins the lowest-numbered component that touches
    one of its voxels, if that has a lower number than itself; then every voxel jumps to the root of its component.

    The number of rounds is fixed, so nothing is read from the device, and it is enough for every image. Take p(r) > 1
    parts of one true component after r rounds. In a round each part joins another one, or is joined by one, or
    neither; a part of the last kind joins one in the next round, for its neighbours have joined lower ones. So
    p(r) >= p(r + 1) + p(r + 2), and p(r) is at most N over the r-th Fibonacci number (1, 1, 2, 3, 5, ...): 24 rounds
    for 256 x 256, 29 for 112 x 112 x 80. Each jump doubles the reach, and no path has more steps than there are parts.

    Args:
        padded: labels (B, *S + 1), background at the end of every axis.
        classes, connectivity: see `largest_components`.

    Returns:
        int64 (B, n). A background voxel is its own root.
    """
    size = padded.shape[1:]
    strides = [math.prod(size[axis + 1 :]) for axis in range(len(size))]
    voxels, beyond = math.prod([length - 1 for length in size]), math.prod(size)
    of_class = torch.stack([padded == value for value in range(1, classes)], 1).flatten(2)  # (B, K - 1, n)
    root = torch.arange(beyond, device=padded.device).repeat(len(padded), 1)
    fibonacci, following = 1, 1
    while (parts := voxels // fibonacci) > 1:  # at most so many before this round
        numbers = torch.where(of_class, root.int().unsqueeze(1), beyond)
        lowest = torch.where(of_class, lowest_neighbour(numbers, strides, connectivity), beyond).amin(1)
        root = root.scatter_reduce(1, root, torch.minimum(lowest, root), "amin")
        for _ in range((parts - 1).bit_length()):
            root = root.gather(1, root)
        fibonacci, following = following, fibonacci + following
    return root


def lowest_neighbour(numbers: Tensor, strides: list[int], connectivity: int) -> Tensor:
    """The minimum over each voxel and its neighbours: numbers (B, C, n), the step in memory along each axis."""
    lowest = None
    for chosen in combinations(strides, min(connectivity, len(strides))):
        pooled = numbers
        for stride in chosen:
            pairs = torch.minimum(pooled[..., stride:], pooled[..., :-stride])
            both = torch.minimum(pairs[..., stride:], pairs[..., :-stride])
            pooled = torch.cat([pairs[..., :stride], both, pairs[..., -stride:]], -1)
        lowest = pooled if lowest is None else torch.minimum(lowest, pooled)
    assert lowest is not None
    return lowest
