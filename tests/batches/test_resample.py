"""Another voxel size: sizes and affines by hand, images and labels against block means and SciPy."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from crossmatch.batches import resample
from crossmatch.batches.resample import new_affine, new_size, resize_image, resize_labels, resize_maps, resize_rows


def _image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_new_size_by_hand():
    assert new_size((640, 640, 88), (0.625, 0.625, 0.625), (1.25, 1.25, 1.25)) == (320, 320, 44)
    assert new_size((512, 512, 200), (0.8, 0.8, 2.5), (1.0, 1.0, 1.0)) == (410, 410, 500)  # 409.6 is nearer to 410
    assert new_size((10, 7), (0.7, 1.0), (1.0, 1.0)) == (7, 7)
    assert new_size((2, 30), (1.0, 1.0), (8.0, 8.0)) == (1, 4)  # never 0


OBLIQUE = np.array([[0.8, -0.3, 0.4, -50], [0.5, 0.9, -0.2, 7], [-0.1, 0.3, 2.5, 120], [0, 0, 0, 1]])


@pytest.mark.parametrize("affine", [np.diag([-1.5, -1.5, 8, 1]), OBLIQUE])
@pytest.mark.parametrize(("shape", "size"), [((20, 30, 8), (10, 30, 19)), ((7, 5, 9), (14, 3, 4)), ((12, 9), (5, 18))])
def test_outer_borders_coincide(affine, shape, size):
    """The corners of the first voxels, index -0.5, and those behind the last ones lie where they lay in the world."""
    moved = new_affine(affine, shape, size)
    for behind in np.ndindex(*[2] * len(shape)):
        corners = (
            np.array([*np.where(behind, n, 0) - 0.5, *[0] * (3 - len(shape)), 1])
            for n in (np.array(shape), np.array(size))
        )
        old, new = corners
        np.testing.assert_allclose(moved @ new, affine @ old, atol=1e-9)
    np.testing.assert_allclose(moved[:, len(shape) : 3], affine[:, len(shape) : 3])


def test_new_affine_by_hand():
    """Voxels of 1 x 2 x 4 mm from (10, 20, 30): twice as long in x and y, so the first centre moves by 0.5 and 1."""
    moved = new_affine(np.array([[1, 0, 0, 10], [0, 2, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]]), (8, 6, 5), (4, 3, 5))
    assert moved.tolist() == [[2, 0, 0, 10.5], [0, 4, 0, 21], [0, 0, 4, 30], [0, 0, 0, 1]]


def test_halving_an_image_is_the_mean_of_its_blocks():
    image = np.random.default_rng(1).integers(-500, 500, (8, 6, 10)).astype(np.int16)
    blocks = image.reshape(4, 2, 3, 2, 5, 2).mean((1, 3, 5))
    assert np.array_equal(resize_image(image, (4, 3, 5)), blocks)  # eighths of integers: exact
    flat = image[..., 0]
    np.testing.assert_allclose(resize_image(flat, (4, 2)), flat.reshape(4, 2, 2, 3).mean((1, 3)), rtol=1e-6)


def test_a_voxel_that_is_cut_counts_by_its_share():
    """Five voxels to two: each new one covers two and a half; the third old one counts half in both."""
    image = np.array([[0, 3, 6, 30, 90]])
    np.testing.assert_allclose(resize_image(image, (1, 2)), [[2.4, 49.2]], rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "size"), [((5, 6, 4), (10, 12, 8)), ((7, 5), (14, 10)), ((5, 8, 3), (7, 13, 5)), ((6, 4, 3), (6, 9, 3))]
)
def test_growing_is_linear_interpolation(shape, size):
    """As SciPy's, borders outside the outermost centres taking their value."""
    image = _image(*shape)
    zoom = [new / old for new, old in zip(size, shape, strict=True)]
    expected = ndimage.zoom(image.astype(np.float64), zoom, order=1, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(resize_image(image, size), expected, atol=1e-5)


def test_one_axis_shrinks_while_another_grows():
    image = _image(8, 5, 6)
    merged = image.reshape(4, 2, 5, 6).mean(1)
    expected = ndimage.zoom(merged.astype(np.float64), (1, 2, 1), order=1, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(resize_image(image, (4, 10, 6)), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(7, 5), (6, 5, 9)])
def test_the_same_size_changes_nothing(shape):
    image = _image(*shape)
    assert np.array_equal(resize_image(image, shape), image)
    label = np.random.default_rng(0).integers(0, 5, shape).astype(np.uint8)
    assert np.array_equal(resize_labels(label, shape), label)


def test_labels_by_hand():
    """Six to two: centres 1.5 and 4.5, so voxels 1 and 4; three to six: each twice; four to two: a centre on a border
    takes the voxel behind it.
    """
    assert resize_labels(np.array([[0, 1, 2, 3, 4, 5]]), (1, 2)).tolist() == [[1, 4]]
    assert resize_labels(np.array([[7, 8, 9]]), (2, 6)).tolist() == [[7, 7, 8, 8, 9, 9]] * 2
    assert resize_labels(np.array([[0, 1, 2, 3]]), (1, 2)).tolist() == [[1, 3]]


@pytest.mark.parametrize("size", [(7, 6, 9), (3, 2, 20), (5, 14, 4), (1, 1, 1)])
@pytest.mark.parametrize("kind", [np.uint8, np.int16])
def test_labels_equal_scipys_nearest(size, kind):
    """Odd sizes before: no centre of a new voxel lies on a border of two old ones."""
    label = np.random.default_rng(2).integers(0, 9, (5, 7, 11)).astype(kind)
    zoom = [new / old for new, old in zip(size, label.shape, strict=True)]
    resized = resize_labels(label, size)
    assert resized.dtype == kind
    assert np.array_equal(resized, ndimage.zoom(label, zoom, order=0, grid_mode=True, mode="nearest"))


@pytest.mark.parametrize(("old", "new"), [((8, 6, 5), (4, 9, 5)), ((7, 9), (14, 4))])
def test_maps_of_a_batch_are_resized_one_by_one(old, new):
    maps = torch.from_numpy(_image(2, 3, *old))
    resized = resize_maps(maps, new)
    assert resized.shape == (2, 3, *new)
    for b in range(2):
        for c in range(3):
            np.testing.assert_allclose(resized[b, c], resize_image(maps[b, c].numpy(), new), atol=1e-6)


def test_probabilities_stay_probabilities():
    maps = torch.softmax(torch.from_numpy(_image(1, 4, 6, 7, 5)), 1)
    for size in ((3, 4, 5), (12, 9, 2)):
        resized = resize_maps(maps, size)
        torch.testing.assert_close(resized.sum(1), torch.ones(1, *size))
        assert resized.min() >= 0


@pytest.mark.parametrize("slab", [1, 2000, 2**25])
@pytest.mark.parametrize("cuts", [(), (1,), (4, 5, 17), tuple(range(1, 20))])
@pytest.mark.parametrize("size", [(20, 9), (53, 9), (7, 30), (1, 4), (41, 8, 6), (11, 9, 7)])
def test_rows_are_resized_as_the_whole(monkeypatch, size, cuts, slab):
    """Whatever chunks the rows come in, and however few are made at a time."""
    monkeypatch.setattr(resample, "_SLAB", slab)
    maps = torch.from_numpy(np.random.default_rng(3).random((3, 20, 9, 7)[: len(size) + 1], np.float32))
    chunks = ((slice(a, b), maps[:, a:b]) for a, b in itertools.pairwise((0, *cuts, 20)))
    made = list(resize_rows(chunks, 20, size))
    assert [rows.start for rows, _ in made] == [0, *(rows.stop for rows, _ in made[:-1])]
    assert max(rows.stop - rows.start for rows, _ in made) <= max(1, slab // (3 * int(np.prod(size[1:]))))
    torch.testing.assert_close(torch.cat([v for _, v in made], 1), resize_maps(maps[None], size)[0], rtol=0, atol=3e-7)
