"""Each rule of a plan by value, on made-up facts."""

from dataclasses import replace

import pytest
from made_up import CT, MR, facts

from crossmatch.dataset.fingerprint import Intensity
from crossmatch.plan import rules
from crossmatch.plan.levels import LEVELS
from crossmatch.plan.propose import propose
from crossmatch.plan.rules import Chosen

FLAT = {"shapes": ((300, 200),) * 4, "spacings": None}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"channels": ("CT",)}, "CT"),
        ({"channels": ("CT",), "grey": (0.0, 1.0)}, "CT"),
        ({"channels": ("T1", "T1ce", "T2", "FLAIR")}, "MR"),
        ({"channels": ("cine_MRI",), "grey": CT}, "MR"),
        ({"channels": ("R", "G", "B"), **FLAT}, "colour"),
        ({"channels": ("red", "green", "blue")}, "colour"),
        ({"channels": ("X-Ray",), **FLAT}, "X-ray"),
        ({"channels": ("a", "b", "c"), **FLAT}, "colour"),
        ({"channels": ("image",), **FLAT}, "X-ray"),
        ({"channels": ("0000",), "grey": CT}, "CT"),
        ({"channels": ("0000",), "grey": MR}, "MR"),
        ({"channels": ("CT", "PET"), "grey": MR}, "MR"),
        ({"channels": ("factor",), "grey": MR}, "MR"),
    ],
)
def test_kind_of_image(given, kind):
    assert rules.kind_of_image(facts(**given)).value == kind


@pytest.mark.parametrize(
    ("kind", "normalise"), [("CT", "ct"), ("MR", "zscore"), ("colour", "colour"), ("X-ray", "percentile")]
)
def test_normalisation(kind, normalise):
    assert rules.normalisation(kind, facts()).value == normalise


def test_voxels_far_from_all_others_are_cut_off():
    """Of MR, by percentiles; the windows of the others leave them out in any case."""
    one = Intensity(min=0, max=1e9, mean=1e5, std=1e6, p00_5=2, p99_5=500)
    far = replace(facts(), grey_values=((one,),) * 4)
    assert rules.normalisation("MR", far).value == "percentile"
    assert "a few voxels lie far from all others" in rules.normalisation("MR", far).reason
    assert rules.normalisation("CT", far).value == "ct"


@pytest.mark.parametrize(
    ("given", "dims", "reason"),
    [
        (FLAT, 2, "the images are flat"),
        ({"spacings": ((1.5, 1.5, 8.0),) * 4}, 2, "8 mm apart, 5.3 times"),
        ({"spacings": ((1.0, 1.0, 3.0),) * 4}, 3, "1 x 1 x 3 mm have nearly equal sides"),
        ({"spacings": ((1.0, 1.0, 3.1),) * 4}, 2, "3.1 times"),
        ({"spacings": ((1.0, 2.9, 3.1),) * 4}, 3, "slices lie 3.1 mm apart, 1.1 times the voxels in them"),
        ({"spacings": ((5.0, 1.0, 1.0),) * 4}, 3, 'with "slice_axis": 0 in dataset.json'),
        ({"spacings": ((5.0, 1.0, 1.0),) * 4, "slice_axis": 0}, 2, "5 mm apart"),
        ({"shapes": ((224, 154, 16),) * 4, "spacings": None}, 2, "unknown, and scans have 16 slices of 224 x 154"),
        ({"shapes": ((100, 90, 80),) * 4, "spacings": None}, 3, "unknown"),
        ({"shapes": ((100, 90, 1),) * 4}, 2, "a single slice"),
    ],
)
def test_dimensions(given, dims, reason):
    found = rules.dimensions(facts(**given))
    assert found.value == dims
    assert reason in found.reason


def test_spacing_is_the_median():
    found = rules.spacing(facts(spacings=((1, 1, 1), (2, 2, 2), (2, 2, 3), (4, 4, 4))), 3)
    assert found.value == (2, 2, 2.5)
    assert "1 x 1 x 1 to 4 x 4 x 4 mm" in found.reason


def test_spacing_of_the_coarse_axis_is_a_low_percentile():
    """4 of 5 scans have 8 mm, one 4 mm: the 10th percentile lies at 0.4 of the way from 4 to 8."""
    five = facts(shapes=((9, 9, 9),) * 5, spacings=((1, 1, 8),) * 4 + ((1, 1, 4),))
    found = rules.spacing(five, 3)
    assert found.value == pytest.approx((1, 1, 5.6))
    assert "coarse axis 2" in found.reason
    assert rules.spacing(five, 2).value == (1, 1)


def test_an_unknown_spacing_leaves_scans_as_they_are():
    assert rules.spacing(facts(spacings=None), 3).value == ()


@pytest.mark.parametrize(
    ("given", "resized"),
    [
        ({"spacings": None}, True),
        ({}, True),
        ({"shapes": ((200, 200, 9), (209, 200, 9), (200, 200, 9), (200, 200, 9))}, True),
        ({"shapes": ((200, 200, 9), (230, 200, 9), (200, 200, 9), (200, 200, 9))}, False),
        ({"spacings": ((1, 1, 8), (1, 1, 4), (1, 1, 9), (1, 1, 9))}, True),
    ],
)
def test_slices_of_one_size_are_resized_whole(given, resized):
    assert rules.resizes(facts(**given), 2).value == resized
    assert not rules.resizes(facts(**given), 3).value


def test_turns():
    assert rules.turns(facts(), "MR", 2).value
    assert not rules.turns(facts(), "MR", 3).value
    assert not rules.turns(facts(), "X-ray", 2).value
    sides = rules.turns(facts(classes=("left_kidney", "right_kidney"), shares=(0.1, 0.1)), "CT", 2)
    assert not sides.value
    assert "left_kidney and right_kidney" in sides.reason


@pytest.mark.parametrize(
    ("spacing", "plane"), [((1, 1, 3), (0, 1)), ((3, 1, 1), (1, 2)), ((1, 3, 1), (0, 2)), ((1, 1, 1), (0, 1))]
)
def test_rotations_lie_in_the_plane_of_the_finest_voxels(spacing, plane):
    assert rules.plane(facts(spacings=(spacing,) * 4), 3).value == plane
    assert rules.plane(facts(spacings=(spacing,) * 4), 2).value == (0, 1)


@pytest.mark.parametrize(
    ("shares", "seen", "wanted"),
    [((0.1,), 1.0, 0.0), ((0.1,), 0.3, 0.33), ((0.1, 0.004), 1.0, 0.33), ((0.1, 0.0004), 1.0, 0.5)],
)
def test_rare_classes_are_shown_more_often(shares, seen, wanted):
    classes = ("organ", "tumour")[: len(shares)]
    assert rules.foreground_share(facts(classes=classes, shares=shares), seen).value == wanted


def test_a_class_that_no_label_shows_is_no_rare_class():
    found = rules.foreground_share(facts(classes=("organ", "tumour"), shares=(0.1, 0.0)), 1.0)
    assert found.value == 0.0
    assert found.reason.endswith("no labelled scan shows tumour")


def test_reasons_are_those_that_decide():
    """A third of the images shows a class as patches see little here, and not as the class is rare."""
    assert rules.foreground_share(facts(shares=(0.1,)), 0.3).reason.startswith("a patch sees 30 % of a scan: ")
    assert "smaller" in rules.resizes(facts(shapes=((9, 8, 7),) * 4), 3).reason  # not larger than a patch
    small = propose(facts(shapes=((6, 5),) * 4, spacings=None), LEVELS[-1], Chosen(100, ""))
    assert small.recipe.data.size == (6, 6)
    assert "the coarsest map has 3 voxels or more" in small.reasons["network.dropout"]


@pytest.mark.parametrize(("share", "counted"), [(0.1, True), (0.004, False)])
def test_dice_counts_the_background_unless_structures_are_tiny(share, counted):
    assert rules.dice_with_background(facts(shares=(share,))).value is counted


@pytest.mark.parametrize(
    ("labelled", "dims", "width", "method"),
    [
        (2, 2, 16, "crossmatch"),
        (2, 2, 8, "unimatch"),
        (2, 3, 8, "crossmatch"),  # in 3D the two were not compared
        (4, 2, 8, "supervised_strong"),
        (4, 3, 16, "supervised_strong"),
    ],
)
def test_method(labelled, dims, width, method):
    chosen = rules.method(facts(labelled=labelled), dims, width)
    assert chosen.value == method
    assert ("2 scans have no label" in chosen.reason) == (labelled == 2)
