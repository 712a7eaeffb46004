"""The views of a step as a loader makes them, one image after the other: what `data.py` compares ours with.

SciPy's rotate and zoom (order 0), crops and turns by NumPy, grey values by NumPy, SciPy's Gaussian; every label turned
beside its image. Written from the description of the released pipeline (`perturb/`), which keeps 8-bit images in 2D.
Shapes: *S is one image; patches are cut where the recipe has three axes.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

Array = np.ndarray
Rng = np.random.Generator


def weak_2d(image: Array, label: Array, size: Sequence[int], rng: Rng) -> tuple[Array, Array]:
    """Turned and flipped, or perhaps rotated; then resized."""
    if rng.random() < 0.5:
        turns, axis = rng.integers(4), rng.integers(2)
        image, label = (np.flip(np.rot90(a, turns), axis) for a in (image, label))
    elif rng.random() < 0.5:
        angle = rng.uniform(-20, 20)
        image, label = (ndimage.rotate(a, angle, order=0, reshape=False) for a in (image, label))
    factors = [wanted / n for wanted, n in zip(size, image.shape, strict=True)]
    return ndimage.zoom(image, factors, order=0), ndimage.zoom(label, factors, order=0)


def weak_3d(image: Array, label: Array, size: Sequence[int], rng: Rng) -> tuple[Array, Array]:
    """A patch, turned and flipped in the plane of the first two axes."""
    start = [rng.integers(n - wanted + 1) for n, wanted in zip(image.shape, size, strict=True)]
    where = tuple(slice(s, s + wanted) for s, wanted in zip(start, size, strict=True))
    turns, axis = rng.integers(4), rng.integers(2)
    image, label = (np.flip(np.rot90(a[where], turns), axis).copy() for a in (image, label))
    return image, label


def strong_2d(image: Array, rng: Rng) -> Array:
    """Brightness and contrast, then blur."""
    image = (255 * image).astype(np.uint8)
    if rng.random() < 0.8:
        for change in rng.permutation(2):
            factor = rng.uniform(0.5, 1.5)
            base = image.mean() if change else 0.0
            image = (base + factor * (image - base)).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        image = ndimage.gaussian_filter(image, rng.uniform(0.1, 2))
    return (image / 255).astype(np.float32)


def strong_3d(image: Array, rng: Rng) -> Array:
    """Bias field and gamma, then a blur of another width on each axis."""
    if rng.random() < 0.8:
        x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij")
        powers = [(i, j, k) for i in range(4) for j in range(4 - i) for k in range(4 - i - j)]
        field = sum(rng.uniform(-0.5, 0.5) * x**i * y**j * z**k for i, j, k in powers)
        image = image * np.exp(field)
        image = np.sign(image) * np.abs(image) ** np.exp(rng.uniform(-0.5, 0.5))
    if rng.random() < 0.5:
        image = ndimage.gaussian_filter(image, rng.uniform(0.1, 2, 3))
    return image.astype(np.float32)


def cutmix_box(size: Sequence[int], rng: Rng) -> Array:
    """A box with half the chances, of a volume and aspect drawn until it fits."""
    box = np.zeros(size, bool)
    while rng.random() < 0.5:
        volume, aspect = rng.uniform(0.02, 0.4) * np.prod(size), rng.uniform(0.3, 1 / 0.3)
        scales = [volume / aspect, volume * aspect, *[volume] * (len(size) - 2)]
        edges = [int(v ** (1 / len(size))) for v in scales]
        if all(edge <= n for edge, n in zip(edges, size, strict=True)):
            start = [rng.integers(n - edge + 1) for n, edge in zip(size, edges, strict=True)]
            box[tuple(slice(s, s + edge) for s, edge in zip(start, edges, strict=True))] = True
            break
    return box


def plain_batch(
    images: Sequence[Array], labels: Sequence[Array], size: Sequence[int], counts: tuple[int, int], rng: Rng
) -> list[list[Array]]:
    """Views of `counts` labelled and unlabelled images, partners of the latter on top, stacked as loaders do."""
    weak, strong = (weak_2d, strong_2d) if len(size) == 2 else (weak_3d, strong_3d)
    chosen = rng.integers(len(images), size=counts[0] + 2 * counts[1])
    rows = []
    for place, k in enumerate(chosen):
        image, label = weak(images[k], labels[k], size, rng)
        row = [image, label]
        if place >= counts[0]:
            row += [strong(image, rng), strong(image, rng), cutmix_box(size, rng), cutmix_box(size, rng)]
        rows.append(row)
    parts = (rows[: counts[0]], rows[counts[0] :])
    return [[np.stack(column) for column in zip(*part, strict=True)] for part in parts]
