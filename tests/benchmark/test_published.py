"""Published numbers: as reported, for the data sets' names, and for methods only."""

from typing import Any

import pytest

from crossmatch.benchmark.published import _stored, published


@pytest.mark.parametrize(
    ("dataset", "labelled", "method", "figures"),
    [
        ("ACDC", "3", "crossmatch", (88.27, 80.17, 1.53, 0.46)),
        ("ACDC", "7", "unimatch", (88.08, 80.10, 2.09, 0.45)),
        ("ACDC", "all", "supervised", (91.44, 84.59, 4.30, 0.99)),
        ("LA", "8", "crossmatch", (91.33, 84.11, 5.29, 1.53)),
        ("LA", "16", "bcp", (90.18, 82.36, 6.64, 1.61)),
        ("LA", "4", "uamt", (78.07, None, None, None)),
    ],
)
def test_figures(dataset: str, labelled: str, method: str, figures: tuple[float | None, ...]) -> None:
    found = published(dataset, labelled, method)
    assert found is not None
    assert found[:4] == figures
    assert len(found.source) > 20


@pytest.mark.parametrize(
    ("labelled", "method", "others"),
    [("3", "uamt", "61.0 and 81.5"), ("7", "uamt", "61.0 and 81.5"), ("3", "supervised", "41.5 and 62.5")],
)
def test_another_report_of_the_same_is_named(labelled: str, method: str, others: str) -> None:
    """The README of UniMatch's medical code, commit 0324f3d."""
    found = published("ACDC", labelled, method)
    assert found is not None
    assert f"{others} with 3 and 7 labelled" in found.source
    assert "UniMatch" in found.source


def test_the_supervised_row_of_nnunet_says_so() -> None:
    found = published("ACDC", "3", "supervised_strong")
    assert found is not None
    assert "nnU-Net" in found.source


@pytest.mark.parametrize(
    ("dataset", "labelled", "method"), [("acdc", "3", "bcp"), ("LA", "3", "bcp"), ("LA", "8", "x")]
)
def test_nothing_where_nothing_was_published(dataset: str, labelled: str, method: str) -> None:
    assert published(dataset, labelled, method) is None


def test_jaccard_and_dice_of_one_result_fit_together() -> None:
    """A mean Jaccard lies between J(mean Dice), as D / (2 - D) is convex, and mean Dice: typing errors are seen."""
    results: dict[str, dict[str, dict[str, dict[str, Any]]]] = _stored()["results"]
    every = [found for sizes in results.values() for methods in sizes.values() for found in methods.values()]
    whole = [found for found in every if "jaccard" in found]
    assert len(whole) > 20
    for found in whole:
        dice = found["dice"] / 100
        assert 100 * dice / (2 - dice) - 0.2 < found["jaccard"] < found["dice"]
        assert found["asd"] < found["hd95"]
