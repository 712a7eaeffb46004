"""Time of Dice, Jaccard, HD95 and ASD of one pair of masks, beside a plain reference written from the definitions.

The reference computes each metric separately and takes distance transforms of the full volume (SciPy). Both run in this
process, in turn, on one core. Prints the median and the range of the times and of their ratio, and the size of the
largest difference of a value. `--surfaces` times both ways of finding distances where they are furthest apart.

    python speed/metrics.py [--repeats 7] [--surfaces]
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")


import numpy as np
from scipy import ndimage

from crossmatch.scoring import metrics
from crossmatch.scoring.surface_voxels import surface_voxels
from timing import run, seconds, spread

SHAPE, SPACING = (200, 200, 88), (1.0, 1.0, 1.0)  # the size of a left atrium in its published preparation
TARGET_SECONDS = 0.15


def ball(shape: tuple[int, ...], radius: float, seed: int, roughness: float = 0.08) -> np.ndarray:
    """A ball in the middle with a bumpy surface; radius in half sides."""
    rng = np.random.default_rng(seed)
    bumps = ndimage.gaussian_filter(rng.standard_normal(shape), 6)
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij", sparse=True)
    return np.sqrt(sum(axis**2 for axis in axes)) + roughness * bumps / bumps.std() < radius


def directed(pred: np.ndarray, ref: np.ndarray) -> np.ndarray:
    """Distances from the surface of `pred` to that of `ref`, over the full volume."""
    border, other = (mask & ~ndimage.binary_erosion(mask) for mask in (pred, ref))
    return ndimage.distance_transform_edt(~other, sampling=SPACING)[border]


def plain(pred: np.ndarray, ref: np.ndarray) -> dict[str, float]:
    """Each metric from its definition."""
    return {
        "dice": 2 * (pred & ref).sum() / (pred.sum() + ref.sum()),
        "jaccard": (pred & ref).sum() / (pred | ref).sum(),
        "hd95": float(np.percentile(np.concatenate([directed(pred, ref), directed(ref, pred)]), 95)),
        "asd": float(directed(pred, ref).mean()),
    }


def surfaces() -> None:
    size = (200, 200, 88)
    speckle = np.random.default_rng(0).random(size) < 0.5
    cases = {
        "smooth, 200x200x88": (ball(size, 0.45, 1), ball(size, 0.45, 2)),
        "half of all voxels at random against a ball": (speckle, ball(size, 0.5, 1)),
        "bumpy, 400x400x200": (ball((400, 400, 200), 0.8, 1), ball((400, 400, 200), 0.8, 2)),
    }
    for name, (pred, ref) in cases.items():
        points, others = surface_voxels(pred), surface_voxels(ref)
        box = np.prod(np.maximum(points.max(0), others.max(0)) - np.minimum(points.min(0), others.min(0)) + 1)
        both = len(points) + len(others)
        steps = np.array(SPACING)
        tree, transform = (
            seconds(measure, points, others, steps) + seconds(measure, others, points, steps)
            for measure in (metrics._by_tree, metrics._by_transform)
        )
        share = f"{both} surface voxels, {both / box:.1%} of the box"
        print(f"{name}: {share}: trees {tree:.2f} s, transform {transform:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--surfaces", action="store_true")
    arguments = parser.parse_args()
    if arguments.surfaces:
        surfaces()
        return
    pred, ref = ball(SHAPE, 0.45, 1), ball(SHAPE, 0.45, 2)
    ours, theirs = metrics.all_metrics(pred, ref, SPACING), plain(pred, ref)
    difference = max(abs(ours[name] - value) for name, value in theirs.items())
    times = [
        (seconds(metrics.all_metrics, pred, ref, SPACING), seconds(plain, pred, ref)) for _ in range(arguments.repeats)
    ]
    mine, other = [pair[0] for pair in times], [pair[1] for pair in times]
    shape = "x".join(map(str, SHAPE))
    print(f"pair of {shape}, {int(ref.sum())} voxels, Dice {ours['dice']:.3f}, largest difference {difference:.1e}")
    print(f"ours       {spread(mine, '.3f')} s, target {TARGET_SECONDS} s")
    print(f"reference  {spread(other, '.3f')} s")
    print(f"ratio      {spread([a / b for a, b in times], '.3f')} of the reference's time")


if __name__ == "__main__":
    run(main)
