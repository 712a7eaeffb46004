"""Surfaces of the report: where they are seen, their size, large and thin masks, distances, figures and notes."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from crossmatch.formats import new_volume
from crossmatch.reports import renderings, surfaces

RAS = np.diag([1.0, 1.0, 2.0, 1.0])  # axes to the right, the front, the head; 1 x 1 x 2 mm
LPS = np.diag([-1.0, -1.0, 2.0, 1.0])
# axes to the head, the right and the front: a scan stored in sagittal slices
SRA = np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [2, 0, 0, 0], [0, 0, 0, 1]])


def volume(affine, shape=(12, 12, 12)):
    return new_volume(np.zeros(shape, np.int16), affine)


def pixels(png: bytes) -> np.ndarray:
    """(h, w, 4) in [0, 255]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).astype(int)


def drawn(mask: np.ndarray, affine, around: np.ndarray | None = None) -> np.ndarray:
    """The picture of a mask in the frame of another, (h, w, 4)."""
    scan = volume(affine, mask.shape)
    found, _ = surfaces.surfaces(
        [mask, mask if around is None else around], scan.spacing_mm or (1, 1, 1), surfaces.front_view(scan)
    )
    colours = np.ones((len(found[0].points), 3))
    return pixels(renderings.picture(found[0], colours, *renderings.frame(found)))


def centre(picture: np.ndarray) -> tuple[float, float]:
    """Of what is drawn: down and across, as shares of the picture."""
    rows, columns = np.nonzero(picture[:, :, 3])
    return rows.mean() / len(picture), columns.mean() / picture.shape[1]


@pytest.mark.parametrize("affine", [RAS, LPS, SRA])
def test_surfaces_are_seen_from_the_front(affine):
    """A box to the patient's left and head appears above and on the right of the body's middle, whatever the axes."""
    body = np.zeros((20, 20, 20), bool)
    body[2:18, 2:18, 2:18] = True
    world = np.moveaxis(np.indices(body.shape), 0, -1) @ affine[:3, :3].T
    middle = world[body].mean(0)
    left, head = world[..., 0] < middle[0] - 4, world[..., 2] > middle[2] + 8
    down, across = centre(drawn(body & left & head, affine, around=body))
    # of the body's 16 x 32 mm, in a square of 32 mm and twice 4 %, a box 6 mm to the left and 12 mm up from the middle
    assert across == pytest.approx(0.5 + 6 / 34.56, abs=0.01)
    assert down == pytest.approx(0.5 - 12 / 34.56, abs=0.01)


def test_nearer_parts_hide_farther_ones():
    """Seen from the front, a plate before another one, each of its own colour."""
    for front, seen in ((2, "far"), (14, "near")):
        scan = volume(RAS, (16, 16, 16))
        mask = np.zeros(scan.shape, bool)
        mask[2:14, 2, 2:14] = mask[2:14, 14, 2:14] = True  # y = 14 is nearer to the front
        (surface, _), _ = surfaces.surfaces([mask, mask], (1, 1, 2), surfaces.front_view(scan))
        marked = np.abs(surface.points[:, 1] + front) < 1  # away is -y
        colours = np.where(marked[:, None], [1.0, 0, 0], [0, 0, 1.0])
        middle = pixels(renderings.picture(surface, colours, *renderings.frame([surface])))[280, 280]
        assert (middle[0] > middle[2]) == (seen == "near")


def test_without_orientation_axes_run_right_and_down():
    mask = np.zeros((10, 10, 10), bool)
    mask[2:8, 2:8, 2:8] = True
    corner = mask & (np.indices(mask.shape)[0] > 5) & (np.indices(mask.shape)[2] > 5)
    down, across = centre(drawn(corner, None, around=mask))
    assert down > 0.6
    assert across > 0.6


def test_a_surface_has_its_size_in_millimetres():
    """10 x 10 x 10 voxels of 1 x 1 x 2 mm: borders half a voxel beyond the outer centres, 10 mm wide and 20 mm high."""
    mask = np.zeros((14, 14, 14), bool)
    mask[2:12, 2:12, 2:12] = True
    (surface, none), block = surfaces.surfaces([mask, np.zeros_like(mask)], (1, 1, 2), surfaces.front_view(volume(RAS)))
    assert none is None
    assert block.tolist() == [1, 1, 1]
    np.testing.assert_allclose(np.ptp(surface.points, axis=0), [10, 10, 20], rtol=0.001)
    np.testing.assert_allclose(surface.points.mean(0), [-6.5, -6.5, 13], atol=0.01)
    shown = pixels(renderings.picture(surface, np.ones((len(surface.points), 3)), *renderings.frame([surface])))
    assert shown.shape == (560, 560, 4)
    rows, columns = (np.flatnonzero(shown[:, :, 3].any(axis)) for axis in (1, 0))
    # 20 mm with a margin of 4 % on both sides fill 560 pixels: 26 pixels a mm
    assert np.ptp(rows) == pytest.approx(560 / 1.08, abs=3)
    assert np.ptp(columns) == pytest.approx(560 / 1.08 / 2, rel=0.02)


def test_an_oblique_scan_is_turned_upright():
    """A rod along an axis that runs to the head and the left at 45 degrees is seen so."""
    s = 0.5**0.5
    affine = np.array([[s, 0, -s, 0], [0, 1, 0, 0], [s, 0, s, 0], [0, 0, 0, 1]])
    rod = np.zeros((5, 5, 60), bool)
    rod[2, 2, 5:55] = True
    rows, columns = np.nonzero(drawn(rod, affine)[:, :, 3])
    assert np.polyfit(columns, rows, 1)[0] == pytest.approx(-1, abs=0.05)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 2.0)])
def test_large_masks_are_drawn_from_blocks_and_lose_nothing(spacing):
    mask = np.zeros((90, 90, 90), bool)
    mask[2:82, 2:82, 2:82] = True
    mask[88, 88, 88] = True
    (surface, _), block = surfaces.surfaces(
        [mask, mask], spacing, surfaces.front_view(volume(np.diag([*spacing, 1.0]), mask.shape))
    )
    # two faces a voxel border are 76,800; 30,000 are allowed; blocks of 2 x 2 x 1 would still have 32,000
    assert block.tolist() == ([2, 2, 2] if spacing[2] == 1 else [3, 3, 1])
    expected = 2 * 2 * 80 * 80 * sum(block) / np.prod(block)
    assert len(surface.faces) == pytest.approx(expected, rel=0.05)
    right, away, up = surface.points.T
    assert -right.min() == pytest.approx(88.5 * spacing[0], abs=2 * spacing[0]), "the lone voxel is still there"
    assert up.max() == pytest.approx(88.5 * spacing[2], abs=2 * spacing[2])
    assert away.max() == pytest.approx(-1.5 * spacing[1], abs=0.1 * spacing[1])


def test_thin_masks_have_a_surface():
    for part in ((4, 4, 4), (slice(None), 4, 4), (slice(None), slice(None), 4), (0, 0, slice(None))):
        mask = np.zeros((9, 9, 9), bool)
        mask[part] = True
        assert drawn(mask, RAS)[:, :, 3].any()


def test_distances_of_two_plates():
    masks = np.zeros((2, 20, 20, 20), bool)
    masks[0, 5:15, 5, 5:15] = masks[1, 5:15, 9, 5:15] = True  # 4 voxels apart
    (reference, prediction), _ = surfaces.surfaces(masks, (1, 1, 2), surfaces.front_view(volume(RAS, (20, 20, 20))))
    found = surfaces.distances(prediction, reference)
    assert found.min() == pytest.approx(4 - 1 + 2 * 0.3, abs=0.4), "between the sides that face each other"
    assert found.max() == pytest.approx(4, abs=0.5)
    assert surfaces.distances(reference, reference).max() == 0


def test_pictures_and_notes_of_each_class():
    scan = volume(RAS)
    reference, prediction = np.zeros((2, *scan.shape), np.uint8)
    reference[2:9, 2:9, 2:9] = prediction[2:9, 2:9, 2:8] = 1
    reference[10, 10, 10] = 2
    prediction[0, 0, 0] = 3
    labels = {"LA": 1, "<LV>": 2, "RV": 3, "MYO": 4}
    rows, how_seen = renderings.surface_rows(scan, reference, prediction, labels, dict.fromkeys(labels, 2.5))
    assert [re.findall("<figcaption>(.*?)</figcaption>", row) for row in rows] == [
        [
            "LA, reference",
            "LA, prediction, Dice 92.3 %",  # 2 x 294 of 343 + 294
            'LA, distance to the reference: 0 <i class="scale"></i> 2.5 mm and more',
        ],
        ["&lt;LV&gt;, reference", "&lt;LV&gt;: the prediction has no voxel of it, Dice 0.0 %."],
        ["RV: the reference has no voxel of it.", "RV, prediction, Dice 0.0 %"],
        ["MYO: the reference has no voxel of it.", "MYO: the prediction has no voxel of it, Dice 100.0 %."],
    ]
    assert [row.count("<img") for row in rows] == [3, 1, 1, 0]
    assert how_seen.startswith("Surfaces from the front, the patient's right on the left")
    assert "blocks" not in how_seen
    unknown, how_seen = renderings.surface_rows(volume(None), reference, prediction, {"LA": 1}, {"LA": 1.0})
    assert "the orientation is unknown" in how_seen
    assert "1 voxels and more" in unknown[0]


def test_colours_are_those_of_the_page():
    """A cube fills the middle of each picture: the second class's colour, and the one of distance 0."""
    mask = np.ones((6, 6, 6), np.uint8)
    labels = {"RV": 2, "LA": 1}
    (none, row), _ = renderings.surface_rows(volume(RAS, mask.shape), mask, mask, labels, dict.fromkeys(labels, 1.0))
    assert "<img" not in none
    shown = [pixels(base64.b64decode(data))[280, 280] for data in re.findall('base64,(.*?)"', row)]
    for colour, stated in zip(shown, ("56b4e9", "56b4e9", "d5d9dd"), strict=True):  # --c1 and --near of .pictures
        expected = np.array(list(bytes.fromhex(stated)))
        assert colour[3] == 255
        np.testing.assert_allclose(colour[:3] / colour[:3].max(), expected / expected.max(), atol=0.02)
