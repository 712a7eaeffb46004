"""Volume, surface, components and edges of masks, on boxes whose numbers are known."""

import numpy as np
import pytest

from crossmatch.inference.shape import MOST, MaskShape, mask_shapes, unlikeness


def test_a_box_and_two_single_voxels() -> None:
    labels = np.zeros((10, 12, 6), np.uint8)
    labels[2:5, 3:7, 1:3] = 1  # 3 x 4 x 2
    labels[0, 0, 0] = labels[9, 11, 3] = 2
    box, spots, missing = mask_shapes(labels, 4, (1.0, 2.0, 5.0), None)
    assert (box.voxels, box.components, box.edge_share) == (24, 1, 0)
    assert box.volume_ml == pytest.approx(24 * 10 / 1000)
    assert box.surface_cm2 == pytest.approx(2 * (4 * 2 * 10 + 3 * 2 * 5 + 3 * 4 * 2) / 100)
    assert (spots.voxels, spots.components, spots.edge_share) == (2, 2, 1)
    assert missing == (0, 0.0, 0.0, 0, 0.0)


def test_the_ends_of_a_stack_of_slices_are_no_edge() -> None:
    labels = np.zeros((8, 8, 3), np.uint8)
    labels[3:5, 3:5] = 1
    assert mask_shapes(labels, 2, None, 2)[0].edge_share == 0
    assert mask_shapes(labels, 2, None, None)[0].edge_share == pytest.approx(2 / 3)
    labels[0, 3:5] = 1
    assert mask_shapes(labels, 2, None, 2)[0].edge_share == pytest.approx(6 / 18)


def test_a_picture_has_no_volume() -> None:
    (one,) = mask_shapes(np.eye(4, dtype=np.uint8), 2, (0.1, 0.1), None)
    assert (one.voxels, one.volume_ml, one.surface_cm2, one.components) == (4, None, None, 4)
    assert one.edge_share == 0.5


def sized(*volumes: float) -> list[MaskShape]:
    return [MaskShape(int(1000 * volume), volume, 1.0, 1, 0.0) for volume in volumes]


def test_sizes_are_unlike_beyond_the_range_and_in_other_proportions() -> None:
    known = [sized(10, 30), sized(20, 60)]
    assert unlikeness(sized(15, 45), known) == pytest.approx([0, 0])
    twice = unlikeness(sized(40, 120), known)
    assert twice == pytest.approx([np.log(2)] * 2)
    swapped = unlikeness(sized(15, 15), known)
    assert swapped[0] == pytest.approx(np.log(0.52 / 0.27))
    assert swapped[1] > np.log(2)  # half of the least, and too small a share
    assert unlikeness(sized(1e-6, 1e6), known) == pytest.approx([2 * MOST, MOST + np.log(1.02 / 0.77)])
    assert unlikeness(sized(0, 5), [sized(3, 0)]).tolist() == [0, 0]  # nothing to compare with


def test_voxels_stand_for_volumes_that_are_unknown() -> None:
    voxels = [shape._replace(volume_ml=None) for shape in sized(40, 120)]
    assert unlikeness(voxels, [sized(10, 30), sized(20, 60)]) == pytest.approx([np.log(2)] * 2)
