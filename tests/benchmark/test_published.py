"""Published numbers: as reported, for the data sets' names, and for methods only."""

from typing import Any

import pytest

from crossmatch.benchmark.published import _stored, published
from crossmatch.methods import METHODS


@pytest.mark.parametrize(
    ("dataset", "labelled", "method", "kind", "figures"),
    [
        ("ACDC", "3", "crossmatch", "own", (88.27, 80.17, 1.53, 0.46)),
        ("ACDC", "7", "unimatch", "others", (88.08, 80.10, 2.09, 0.45)),
        ("ACDC", "all", "supervised", "others", (91.44, 84.59, 4.30, 0.99)),
        ("LA", "8", "crossmatch", "own", (91.33, 84.11, 5.29, 1.53)),
        ("LA", "16", "bcp", "others", (90.18, 82.36, 6.64, 1.61)),
        ("LA", "4", "uamt", "others", (78.07, None, None, None)),
        ("LA", "8", "mcnet", "own", (88.96, None, None, None)),
        ("LA", "8", "mcnet", "others", (87.68, 78.27, 10.35, 1.85)),
        ("ACDC", "3", "dmd", "own", (66.23, None, None, None)),
        ("ACDC", "3", "dmd", "others", (80.60, 69.08, 5.96, 1.90)),
    ],
)
def test_figures(dataset: str, labelled: str, method: str, kind: str, figures: tuple[float | None, ...]) -> None:
    found = getattr(published(dataset, labelled, method), kind)
    assert found is not None
    assert found[:4] == figures
    assert len(found.source) > 20


@pytest.mark.parametrize(
    ("labelled", "method", "others"),
    [("3", "uamt", "61.0 and 81.5"), ("7", "uamt", "61.0 and 81.5"), ("3", "supervised", "41.5 and 62.5")],
)
def test_another_report_of_the_same_is_named(labelled: str, method: str, others: str) -> None:
    """The README of UniMatch's medical code, commit 0324f3d."""
    found = published("ACDC", labelled, method).others
    assert found is not None
    assert f"{others} with 3 and 7 labelled" in found.source
    assert "UniMatch" in found.source


def test_the_supervised_row_of_nnunet_says_so() -> None:
    found = published("ACDC", "3", "supervised_strong").others
    assert found is not None
    assert "nnU-Net" in found.source


@pytest.mark.parametrize(
    ("dataset", "labelled", "method"), [("acdc", "3", "bcp"), ("LA", "3", "bcp"), ("LA", "8", "x")]
)
def test_nothing_where_nothing_was_published(dataset: str, labelled: str, method: str) -> None:
    assert published(dataset, labelled, method) == (None, None)


def test_figures_of_validation_patients_and_last_checkpoints_are_named() -> None:
    ours = {labelled: published("ACDC", labelled, "crossmatch").own for labelled in ("3", "7")}
    assert all(found is not None and found.validation_list for found in ours.values())
    of_test = published("LA", "8", "crossmatch").own
    assert of_test is not None
    assert not of_test.validation_list
    for data, labelled, figures in (("LA", "4", (89.63, 89.3)), ("LA", "8", (90.55, 90.1))):
        found = published(data, labelled, "admt").own
        assert found is not None
        assert (found.dice, found.last) == figures
        assert "chosen on test scans" in found.source
    assert of_test.last is None


def test_every_method_and_source_exists_and_every_source_has_a_protocol_and_a_figure() -> None:
    stored = _stored()
    found = {
        (name, kind)
        for sizes in stored["results"].values()
        for m in sizes.values()
        for name, k in m.items()
        for kind in k
    }
    assert {name for name, _ in found} <= METHODS.keys()
    assert {kind for _, kind in found} == {"own", "others"}
    used = {
        report["source"]
        for sizes in stored["results"].values()
        for m in sizes.values()
        for k in m.values()
        for report in k.values()
    }
    assert used == stored["sources"].keys()
    assert all({"text", "protocol"} <= source.keys() for source in stored["sources"].values())


def test_jaccard_and_dice_of_one_result_fit_together() -> None:
    """A mean Jaccard lies between J(mean Dice), as D / (2 - D) is convex, and mean Dice: typing errors are seen."""
    results: dict[str, dict[str, dict[str, dict[str, dict[str, Any]]]]] = _stored()["results"]
    kinds = [kinds for sizes in results.values() for methods in sizes.values() for kinds in methods.values()]
    every = [report for each in kinds for report in each.values()]
    whole = [found for found in every if "jaccard" in found]
    assert len(whole) > 20
    for found in whole:
        dice = found["dice"] / 100
        assert 100 * dice / (2 - dice) - 0.2 < found["jaccard"] < found["dice"]
        assert found["asd"] < found["hd95"]
