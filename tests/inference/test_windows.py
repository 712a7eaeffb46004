"""Sliding windows: against the released code's, against a plain stitching, by hand, and how much memory they take."""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from crossmatch.inference.windows import even_starts, even_stride, sliding_window, window_starts
from crossmatch.networks.reference import from_reference

CLASSES = 3
# scan, patch, stride: longer and shorter axes than the patch, windows that fit and that are moved back
CASES = [
    ((13, 9), (4, 4), (3, 2)),
    ((13, 9), (4, 4), "even"),
    ((5, 3), (8, 6), (1, 5)),
    ((12, 4), (4, 4), (4, 4)),
    ((7, 1), (3, 1), "even"),
    ((11, 6, 9), (4, 6, 4), (3, 6, 2)),
    ((11, 6, 9), (4, 6, 4), "even"),
    ((3, 10, 5), (8, 4, 8), (2, 1, 8)),
    ((3, 10, 5), (8, 4, 8), "even"),
    ((2, 2, 2), (5, 5, 5), "even"),
]


def network(windows: Tensor) -> Tensor:
    """(W, C, *P) -> probabilities (W, K, *P) that depend on the place within the window, and on what lies around."""
    place = torch.linspace(0, 3, windows[0, 0].numel()).view(windows.shape[2:])
    around = windows.mean(dim=tuple(range(2, windows.ndim)), keepdim=True)
    one = windows.sum(1) + around.sum(1)
    return torch.stack([one, place * one, 2 - place.expand_as(one)], 1).softmax(1)


def stitched(
    found: Callable[[Tensor], Tensor], image: np.ndarray, patch: Sequence[int], stride: Sequence[int] | Literal["even"]
) -> np.ndarray:
    """The same from NumPy: pad, loop over all windows, sum up in whole volumes, divide, cut the padding off."""
    pad = [max(p - n, 0) for n, p in zip(image.shape[1:], patch, strict=True)]
    padded = np.pad(image, [(0, 0), *((n // 2, n - n // 2) for n in pad)])
    weight, starts = np.ones(tuple(patch)), []
    patches = [n / p for n, p in zip(padded.shape[1:], patch, strict=True)]
    for axis, (n, p) in enumerate(zip(padded.shape[1:], patch, strict=True)):
        if stride != "even":
            inside = list(range(0, n - p + 1, stride[axis]))
            starts.append(inside if inside[-1] == n - p else [*inside, n - p])
        else:
            part, gaps = 3 if axis == patches.index(max(patches)) else 2, 0
            while n - p > gaps * max(p // part, 1):
                gaps += 1
            starts.append([math.floor(k * (n - p) / max(gaps, 1)) for k in range(gaps + 1)])
            bell = [np.exp(-((i - (p - 1) / 2) ** 2) / (2 * (p / 2) ** 2)) for i in range(p)]
            weight *= np.reshape(bell, [-1 if a == axis else 1 for a in range(len(patch))])
    total, count = np.zeros((CLASSES, *padded.shape[1:])), np.zeros(padded.shape[1:])
    for place in itertools.product(*starts):
        where = tuple(slice(s, s + p) for s, p in zip(place, patch, strict=True))
        window = torch.from_numpy(padded[(slice(None), *where)]).unsqueeze(0)
        total[(slice(None), *where)] += weight * found(window)[0].numpy()
        count[where] += weight
    kept = tuple(slice(n // 2, n // 2 + size) for n, size in zip(pad, image.shape[1:], strict=True))
    return (total / count)[(slice(None), *kept)]


def joined(parts: Sequence[tuple[slice, Tensor]]) -> Tensor:
    return torch.cat([values for _, values in parts], 1)


@pytest.mark.parametrize("name", ["volume", "small"])
def test_equal_to_the_released_windows(shared: Path, name: str) -> None:
    """`small` is shorter than the patch on two axes: zeros on both sides, which are cut off again."""
    with np.load(shared / "golden" / "vnet3d_shared.npz") as file:
        golden = {key: torch.from_numpy(file[key]) for key in file.files}
    released = from_reference({key[2:]: value for key, value in golden.items() if key.startswith("w:")}).eval()
    score, label = ("window_score", "window_label") if name == "volume" else ("small_score", "small_label")
    image = golden[name].unsqueeze(0)
    with torch.inference_mode():
        found = joined(list(sliding_window(lambda x: released(x).softmax(1), image, (32, 48, 32), (18, 18, 4), 3)))
    torch.testing.assert_close(found, golden[score], rtol=1e-4, atol=1e-5)
    sure = (golden[score][1] - 0.5).abs() > 1e-5
    assert sure.float().mean() > 0.99
    assert torch.equal(found.argmax(0)[sure], golden[label].long()[sure])


@pytest.mark.parametrize(("size", "patch", "stride"), CASES)
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_equal_to_a_plain_stitching(
    size: tuple[int, ...], patch: tuple[int, ...], stride: tuple[int, ...] | Literal["even"], batch: int
) -> None:
    image = np.random.default_rng(0).random((2, *size), dtype=np.float32)
    batches: list[int] = []

    def watched(windows: Tensor) -> Tensor:
        batches.append(len(windows))
        assert windows.shape[1:] == (2, *patch)
        return network(windows)

    parts = list(sliding_window(watched, torch.from_numpy(image), patch, stride, batch))
    assert joined(parts).numpy() == pytest.approx(stitched(network, image, patch, stride), abs=1e-5)
    assert max(batches) <= batch
    rows = [row for part, values in parts for row in range(part.start, part.stop) if values.shape[1]]
    assert rows == list(range(size[0]))  # each once and in order
    assert all(values.shape == (CLASSES, part.stop - part.start, *size[1:]) for part, values in parts)


@pytest.mark.parametrize(
    ("size", "patch", "step", "starts"),
    [
        (10, 4, 3, [0, 3, 6]),
        (11, 4, 3, [0, 3, 6, 7]),
        (4, 4, 1, [0]),
        (5, 4, 4, [0, 1]),
        (8, 4, 4, [0, 4]),
        (140, 112, 18, [0, 18, 28]),
    ],
)
def test_a_grid_by_hand(size: int, patch: int, step: int, starts: list[int]) -> None:
    assert window_starts(size, patch, step) == starts


@pytest.mark.parametrize(
    ("size", "patch", "step", "starts"),
    [
        (200, 112, 37, [0, 29, 58, 88]),
        (150, 112, 56, [0, 38]),
        (168, 112, 56, [0, 56]),
        (169, 112, 56, [0, 28, 57]),
        (11, 4, 2, [0, 1, 3, 5, 7]),
        (4, 4, 2, [0]),
        (5, 4, 2, [0, 1]),
    ],
)
def test_an_even_grid_by_hand(size: int, patch: int, step: int, starts: list[int]) -> None:
    assert even_starts(size, patch, step) == starts


@pytest.mark.parametrize(
    ("size", "patch", "stride"),
    [
        ((200, 150, 88), (112, 112, 80), [37, 56, 40]),
        ((160, 200, 170), (112, 112, 80), [56, 56, 26]),  # 1.4, 1.8 and 2.1 patches
        ((9, 9), (3, 3), [1, 1]),
        ((8, 8), (8, 8), [2, 4]),
        ((5, 2), (1, 2), [1, 1]),
    ],
)
def test_the_even_stride_by_hand(size: tuple[int, ...], patch: tuple[int, ...], stride: list[int]) -> None:
    assert even_stride(size, patch) == stride


def test_an_overlap_by_hand() -> None:
    """Windows of four of seven voxels at 0, 2, 3, every one alike; then evenly at 0, 1, 2, 3, with Gaussian weights."""
    image = torch.zeros(1, 7, 1)

    def numbered() -> Callable[[Tensor], Tensor]:
        number = iter((1.0, 4.0, 7.0, 10.0))
        return lambda windows: torch.full_like(windows, next(number))

    uniform = joined(list(sliding_window(numbered(), image, (4, 1), (2, 1), 1))).flatten()
    assert uniform.tolist() == pytest.approx([1, 1, 2.5, 4, 5.5, 5.5, 7])
    far, near = (
        np.exp(-0.5 * 0.75**2),
        np.exp(-0.5 * 0.25**2),
    )  # 1.5 and 0.5 voxels from the middle, a sigma of 2 voxels
    expected = [
        1,
        (near * 1 + far * 4) / (near + far),
        (near * 1 + near * 4 + far * 7) / (2 * near + far),
        (far * 1 + near * 4 + near * 7 + far * 10) / (2 * near + 2 * far),
        (far * 4 + near * 7 + near * 10) / (far + 2 * near),
        (far * 7 + near * 10) / (far + near),
        10,
    ]
    gaussian = joined(list(sliding_window(numbered(), image, (4, 1), "even", 1))).flatten()
    assert gaussian.tolist() == pytest.approx(expected)


def test_rows_come_as_soon_as_no_later_window_covers_them() -> None:
    calls: list[int] = []

    def watched(windows: Tensor) -> Tensor:
        calls.append(len(windows))
        return network(windows)

    parts = sliding_window(watched, torch.rand(2, 11, 4), (4, 4), (3, 4), 1)
    assert [(part.start, part.stop, len(calls)) for part, _ in parts] == [(0, 3, 1), (3, 6, 2), (6, 7, 3), (7, 11, 4)]


class Largest(TorchDispatchMode):
    """The size of the largest tensor that an operation made, the image and its parts left out."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image, self.elements = image.untyped_storage().data_ptr(), 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.untyped_storage().data_ptr() != self.image:
            self.elements = max(self.elements, made.numel())
        return made


def test_the_sums_need_one_patch_of_rows() -> None:
    """Five classes of a long scan: the largest tensor made is five times 8 rows, not five times 200."""
    image = torch.rand(2, 200, 12, 12)

    def five(windows: Tensor) -> Tensor:
        return torch.cat([windows, windows, windows[:, :1]], 1)

    with Largest(image) as seen:
        rows = sum(values.shape[1] for _, values in sliding_window(five, image, (8, 8, 8), "even", 2))
    assert rows == 200
    assert seen.elements == 5 * 8 * 12 * 12


FULL_SIZE = """
import torch
from crossmatch.inference.windows import sliding_window
from crossmatch.runs.devices import peak_memory

def peak():
    return peak_memory(torch.device("cpu"))  # of this process alone, not of the one that started it

torch.set_num_threads(1)
image = torch.ones(1, 512, 512, 600)
before, rows = peak(), 0
for part, values in sliding_window(lambda x: x.repeat(1, 3, 1, 1, 1), image, (64, 256, 300), (64, 256, 300), 1):
    assert float(values[2, 0, 511, 599]) == 1
    rows += part.stop - part.start
    del values
print(rows, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in another unit elsewhere")
def test_a_large_scan_needs_far_less_than_its_probabilities() -> None:
    """512 x 512 x 600 with three classes: the sums of 64 rows twice (kept, given out) and one window's temporaries."""
    found = subprocess.run([sys.executable, "-c", FULL_SIZE], capture_output=True, text=True, check=True, timeout=120)
    rows, grown = map(int, found.stdout.split())
    assert rows == 512
    sums, volumes = 4 * 3 * 64 * 512 * 600, 4 * 3 * 512 * 512 * 600
    assert sums < grown < 0.45 * volumes
