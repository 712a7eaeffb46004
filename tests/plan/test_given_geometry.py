"""A voxel size, a sampling or a size that is given: every later choice, and every reason, is true of it."""

import pytest
from made_up import facts

from crossmatch.errors import UserError
from crossmatch.plan.given import GIVEN
from crossmatch.plan.levels import LEVELS
from crossmatch.plan.propose import Proposal, propose
from crossmatch.plan.rules import Chosen

MEDIUM, SMALL = LEVELS[2], LEVELS[3]
VOLUMES = facts(shapes=((60, 60, 40),) * 4, box=(20, 20, 13))
SLICES = facts(shapes=((500, 400, 20),) * 4, spacings=((1.0, 1.0, 8.0),) * 4)
UNEQUAL = facts(shapes=((500, 400, 20), (300, 200, 20)) * 2, spacings=((1.0, 1.0, 8.0),) * 4)


def _volumes(**given: object) -> Proposal:
    return propose(VOLUMES, SMALL, Chosen(500, ""), {f"data.{key}": value for key, value in given.items()})


def _slices(of=SLICES, **given: object) -> Proposal:
    return propose(of, MEDIUM, Chosen(500, ""), {f"data.{key}": value for key, value in given.items()})


def test_a_coarser_voxel_size_makes_scans_and_patches_smaller():
    plan = _volumes(spacing_mm=[3, 3, 3])
    assert plan.recipe.data.size == (32, 32, 16)
    assert "of scans with 20 x 20 x 13; shows all of the structures" in plan.reasons["data.size"]
    assert plan.recipe.data.spacing_mm == (3, 3, 3)
    assert plan.reasons["data.spacing_mm"] == GIVEN
    assert plan.recipe.data.foreground == 0


def test_a_finer_voxel_size_makes_a_patch_see_less():
    """Of 120 x 120 x 80 voxels a patch has 48 x 48 x 32: (0.4)^3."""
    plan = _volumes(spacing_mm=[0.5, 0.5, 0.5])
    assert plan.recipe.data.size == (48, 48, 32)
    assert "of scans with 120 x 120 x 80; shows all" in plan.reasons["data.size"]  # of 40 x 40 x 26
    assert plan.recipe.data.foreground == 0.33
    assert "a patch sees 6.4 % of a scan" in plan.reasons["data.foreground"]
    assert "shows a part" in _volumes(spacing_mm=[0.3, 0.3, 0.3]).reasons["data.size"]


def test_a_voxel_size_that_is_given_does_not_grow():
    large = facts(box=(190, 190, 90))
    plan = propose(large, SMALL, Chosen(500, ""), {"data.spacing_mm": [1.25, 1.0, 1.0]})
    assert plan.recipe.data.spacing_mm == (1.25, 1.0, 1.0)
    assert "shows a part" in plan.reasons["data.size"]
    assert _slices(spacing_mm=[2, 2]).recipe.data.spacing_mm == (2, 2)


def test_no_voxel_size_means_scans_as_they_are():
    plan = propose(facts(spacings=((2.0, 2.0, 2.0),) * 4), SMALL, Chosen(500, ""), {"data.spacing_mm": []})
    assert plan.recipe.data.spacing_mm == ()
    assert "of scans with 200 x 200 x 100" in plan.reasons["data.size"]
    assert f"data.spacing_mm = []: {GIVEN}" in plan.lines()


def test_volumes_that_are_resized_whole():
    plan = _volumes(sampling="resize")
    assert (plan.recipe.data.sampling, plan.recipe.data.spacing_mm) == ("resize", ())
    assert "of scans with 60 x 60 x 40; each is resized whole" in plan.reasons["data.size"]
    assert plan.reasons["data.sampling"] == GIVEN
    assert plan.recipe.data.foreground == 0


def test_slices_at_a_voxel_size_are_cut_and_not_resized():
    """Of 250 x 200 voxels a patch has 128 x 128."""
    plan = _slices(spacing_mm=[2, 2])
    assert (plan.recipe.data.sampling, plan.recipe.data.size) == ("patch", (128, 128))
    assert "at the voxel size given with --set" in plan.reasons["data.sampling"]
    assert plan.reasons["data.size"].startswith("scans have 250 x 200, at most 128")
    assert plan.recipe.data.foreground == 0.33
    assert "a patch sees 33 % of a slice" in plan.reasons["data.foreground"]


def test_slices_that_are_cut_though_a_rule_would_resize_them():
    plan = _slices(sampling="patch")
    assert plan.recipe.data.spacing_mm == (3.91, 3.91)  # 500 voxels in 128
    assert plan.recipe.data.foreground == 0
    assert _slices(UNEQUAL, sampling="resize").recipe.data.spacing_mm == ()


def test_a_given_size_decides_how_far_voxels_grow_and_what_a_patch_sees():
    plan = _slices(UNEQUAL, size=[64, 64])
    assert plan.recipe.data.spacing_mm == (6.25, 6.25)  # 400 voxels in 64
    assert plan.reasons["data.spacing_mm"].endswith("times 6.25 so that more fits into 64 x 64")
    assert plan.reasons["data.size"] == GIVEN
    plan = _volumes(size=[32, 32, 16])
    assert "a patch sees 11 % of a scan" in plan.reasons["data.foreground"]
    grown = propose(facts(box=(60, 60, 40)), SMALL, Chosen(500, ""), {"data.size": [32, 32, 32]})
    assert grown.reasons["data.spacing_mm"].endswith("so that more fits into 32 x 32 x 32")
    assert grown.recipe.data.spacing_mm[0] == pytest.approx(1.9, abs=0.1)  # 60 voxels in 32


def test_views_turn_in_the_plane_of_the_voxels_that_are_given():
    assert _volumes(spacing_mm=[4, 1, 1]).recipe.views.weak.plane == (1, 2)
    coarse = facts(spacings=((2.0, 1.0, 1.0),) * 4)
    assert propose(coarse, SMALL, Chosen(500, ""), {"data.spacing_mm": [2, 2, 2]}).recipe.views.weak.plane == (1, 2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spacing_mm", [1, 1]),
        ("spacing_mm", "fine"),
        ("spacing_mm", [1, 1, 0]),
        ("spacing_mm", [1, 1, "a"]),
        ("sampling", "whole"),
        ("size", [32, 32]),
        ("size", [32.5, 32, 32]),
    ],
)
def test_what_has_a_wrong_form_is_refused_by_the_recipe(key, value):
    with pytest.raises(UserError, match=f"data.{key}"):
        _volumes(**{key: value})
