"""Signed distance maps: by hand, SciPy's distances, and the released maps."""

import pytest
import torch
from released_numbers import VALUES, cases
from scipy import ndimage

from crossmatch.methods import distance
from crossmatch.methods.distance import signed_distance, squared_distance


@pytest.mark.parametrize("size", [(17, 12), (9, 6, 11), (1, 8)])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_distances_are_scipys(size, share):
    torch.manual_seed(0)
    mask = torch.rand(2, 3, *size) < share
    mask.view(6, -1)[torch.arange(6), torch.arange(6)] = False  # SciPy means another thing where nothing is outside
    for one, found in zip(mask.flatten(0, 1), squared_distance(mask).flatten(0, 1), strict=True):
        expected = torch.from_numpy(ndimage.distance_transform_edt(one.numpy()))
        torch.testing.assert_close(found.sqrt().double(), expected, rtol=1e-6, atol=1e-6)


def test_pieces_change_nothing(monkeypatch):
    torch.manual_seed(0)
    mask = torch.rand(2, 1, 9, 6, 7) < 0.8
    whole = squared_distance(mask)
    monkeypatch.setattr(distance, "PIECE", {"cpu": 100})
    assert torch.equal(squared_distance(mask), whole)


def test_a_line_by_hand():
    """Inside voxels 3 to 7 the deepest is 3 from the background; outside the farthest is 4 from the mask."""
    mask = torch.zeros(1, 1, 1, 12, dtype=torch.bool)
    mask[..., 3:8] = True
    expected = [3 / 4, 2 / 4, 1 / 4, 0, -2 / 3, -1, -2 / 3, 0, 1 / 4, 2 / 4, 3 / 4, 1]
    torch.testing.assert_close(signed_distance(mask).flatten(), torch.tensor(expected))


@pytest.mark.parametrize("size", [(5, 4), (3, 4, 5)])
def test_empty_and_full_masks(size):
    mask = torch.stack([torch.zeros(size), torch.ones(size)]).bool().unsqueeze(1)
    signed = signed_distance(mask)
    assert signed[0].eq(1).all()
    assert signed[1].eq(-1).all()


def test_the_edge_of_the_image_is_no_boundary():
    mask = torch.zeros(1, 1, 2, 6, dtype=torch.bool)
    mask[..., :3] = True
    expected = torch.tensor([-1, -2 / 3, 0, 1 / 3, 2 / 3, 1]).expand(1, 1, 2, 6)
    torch.testing.assert_close(signed_distance(mask), expected)


def test_released_maps(shared):
    for name, case in cases(shared, "dtc").items():
        if name.startswith("sdf"):
            found = signed_distance(case["in:label"].bool()[None, None])[0, 0]
            torch.testing.assert_close(found, case["out:D_mended"], **VALUES, msg=name)
