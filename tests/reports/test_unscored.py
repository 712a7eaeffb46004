"""Predictions without a reference in a report: pictures and a table, with and without estimates of their quality."""

import json
import re

import pytest
from estimated_masks import SCRIPT, predicted, write_estimates
from written_runs import write_predictions

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.reports import write_report
from crossmatch.reports.overlays import spread_slices
from crossmatch.scoring.evaluate import evaluate
from page import Page


def test_masks_without_a_reference_have_pictures_chosen_by_volume(run, data):
    predicted(run / "new", data)
    page = Page(write_report(run))
    found = re.findall(r"(Largest|Middle|Smallest) volume: (case_\d+)", page.text)
    assert [kind for kind, _ in found] == ["Largest", "Middle", "Smallest"]
    assert found[2][1] == "case_008", "an empty mask"
    assert "4 masks in new, without a reference and without an estimated quality, so it is not known" in page.text
    assert sum(attrs.get("class") == "overlay" for _, attrs in page.tags) == 9
    assert not any(attrs.get("class") == "reference" for tag, attrs in page.tags if tag == "g")
    like = formats.read(run / "new" / "case_005.nii.gz")
    volume = (like.voxels == 1).sum() * 1.5 * 1.5 * 8 / 1000
    assert page.row("case_005")[1] == f"{volume:.1f}"
    assert page.row("case_008")[1:] == ["0.0", "0.0"]
    assert "has not been evaluated" in page.text


def test_estimates_choose_the_pictures_and_fill_the_table(run, data):
    folder = predicted(run / "new", data)
    scores = {"case_005": 0.9, "case_006": 0.4, "case_007": 0.8, "case_008": 0.7}
    write_estimates(folder, scores, outside="case_007")
    page = Page(write_report(run))
    assert re.findall(
        r"(Best|Middle|Worst) by estimate, estimated Dice (\d+) % \((\d+) to (\d+) %\): (case_\d+)", page.text
    ) == [
        ("Best", "90", "80", "95", "case_005"),
        ("Middle", "70", "60", "75", "case_008"),
        ("Worst", "80", "70", "85", "case_007"),
    ], "what is unlike the training data is the worst"
    assert [row[0] for row in page.rows if row and row[0].startswith("case_0")] == [
        "case_005",
        "case_008",
        "case_006",
        "case_007",
    ]
    assert page.row("case_006")[1:6] == ["40", "30 – 45", "40", "40", "4"]
    assert f"Grey values lie far outside {SCRIPT}." in page.text
    assert "<script>alert" not in page.source
    assert page.source.count(".<br>RV lies in 9 parts.</p>") == 1, "one box holds what is to look at"
    assert "in 80 of 100 cases the true Dice lies in the interval. Fitted on 4 validation cases." in page.text


def test_calibration_is_shown(run, data):
    folder = predicted(run / "test", data)
    write_estimates(folder, {"case_005": 0.95, "case_006": 0.8, "case_007": 0.5, "case_008": 0.1})
    evaluate(folder, data / "labelsTs", folder)
    page = Page(write_report(run))
    assert "8.1 % before and 3.2 % after" in page.text
    assert "temperature 1.7" in page.text
    assert "Spearman's rank correlation of estimated and true Dice is 1.00" in page.text


def change(path, edit):
    stored = json.loads(path.read_text())
    edit(stored)
    path.write_text(json.dumps(stored))


def fitted_on(folder, names):
    """Let the estimates of a folder be fitted on these cases."""
    change(folder / "quality.json", lambda stored: stored["calibration"].update(cases=names))


def true_dice(folder, dice):
    """Let both classes of these cases have been scored so."""

    def edit(stored):
        for row in stored["cases"]:
            row["dice"] = dice[row["case"]]

    change(folder / "summary.json", edit)


def test_cases_that_estimates_were_fitted_on_are_not_compared(run, data):
    folder = predicted(run / "test", data)
    write_estimates(folder, {"case_005": 0.9, "case_006": 0.8, "case_007": 0.6, "case_008": 0.4})
    evaluate(folder, data / "labelsTs", folder)
    true_dice(folder, {"case_005": 0.9, "case_006": 0.75, "case_007": 0.9, "case_008": 0.35})
    fitted_on(folder, ["case_005", "case_001"])
    page = Page(write_report(run))
    # off by 0.05, 0.3 and 0.05; the second is outside of 0.5 to 0.65
    assert "Over 3 evaluated cases the estimated Dice is off by 13.3 points on average" in page.text
    assert "2 of 3 lie in their interval" in page.text
    told = (
        "1 of the 4 evaluated cases with an estimate is left out of this comparison, because the estimates were fitted"
    )
    assert told in page.text
    assert "case_005: estimated" not in page.text
    assert "case_006: estimated 80.0 %, true 75.0 %" in page.text
    fitted_on(folder, ["case_005", "case_006", "case_007"])
    page = Page(write_report(run))
    assert "Over 1 evaluated cases the estimated Dice is off by 5.0 points on average" in page.text
    assert "3 of the 4 evaluated cases with an estimate are left out" in page.text


def test_estimates_of_whole_masks_are_not_compared_with_scores_of_largest_components(run, data):
    folder = predicted(run / "test", data)
    write_estimates(folder, {"case_005": 0.9, "case_006": 0.8, "case_007": 0.6, "case_008": 0.4})
    evaluate(folder, data / "labelsTs", folder, largest_component=True)
    page = Page(write_report(run))
    assert "because the estimates are of whole masks, and of each predicted class the largest component" in page.text
    assert "8.1 % before and 3.2 % after" in page.text, "what needs no comparison stays"
    assert "the estimated Dice is off" not in page.text
    assert "Estimated and true Dice of each case" not in page.source


def test_estimates_of_nothing_but_fitted_cases_are_not_compared(run, data):
    folder = predicted(run / "test", data)
    names = ["case_005", "case_006", "case_007", "case_008"]
    write_estimates(folder, dict.fromkeys(names, 0.9))
    evaluate(folder, data / "labelsTs", folder)
    fitted_on(folder, names)
    change(folder / "quality.json", lambda stored: stored["calibration"].update(reliability=None))
    page = Page(write_report(run))
    assert "because the estimates were fitted on all 4 evaluated cases and are too good there" in page.text
    assert "with each case estimated from the others, the estimated Dice was off by 4.0 points on average" in page.text
    assert "evaluated cases the estimated Dice is off" not in page.text
    assert "Estimated and true Dice of each case" not in page.source
    change(folder / "summary.json", lambda stored: stored.update(dataset="another"))  # its cases have these names too
    assert "Over 4 evaluated cases the estimated Dice is off" in Page(write_report(run)).text


def test_a_class_that_nobody_shows_counts_in_neither_mean(run, data):
    """By hand: RV is estimated at 0.8 and is 0.8. MYO is in neither mask nor reference, which scores as Dice 1."""
    folder = predicted(run / "test", data)
    names = ["case_005", "case_006", "case_007", "case_008"]
    write_estimates(folder, dict.fromkeys(names, 0.8))
    evaluate(folder, data / "labelsTs", folder)

    def without_estimate(stored):
        for case in stored["cases"].values():
            case["classes"]["MYO"]["dice"] = None

    def absent(stored):
        for row in stored["cases"]:
            row |= {"dice": 0.8} if row["class"] == "RV" else {"dice": 1.0, "empty": True}

    change(folder / "quality.json", without_estimate)
    change(folder / "summary.json", absent)
    page = Page(write_report(run))
    assert "Over 4 evaluated cases the estimated Dice is off by 0.0 points on average; 4 of 4 lie in" in page.text
    # the reference of one case shows MYO, and its mask does not: the true mean is 0.4

    def missed(stored):
        next(row for row in stored["cases"] if row["class"] == "MYO").update(dice=0.0, empty=False)

    change(folder / "summary.json", missed)
    assert "the estimated Dice is off by 10.0 points on average; 3 of 4 lie in" in Page(write_report(run)).text


def test_without_a_calibration_the_agreement_ranks(run, data):
    folder = predicted(run / "new", data)
    write_estimates(folder, dict.fromkeys(("case_005", "case_006", "case_007", "case_008")))
    page = Page(write_report(run))
    assert "Best by estimate, agreement 50 %" in page.text
    assert "agreement %" in page.text


def test_an_estimate_of_another_mask_is_not_shown(run, data):
    folder = predicted(run / "new", data)
    write_estimates(folder, {"case_005": 0.9, "case_006": 0.4, "case_007": 0.8})
    formats.write(
        folder / "case_006.nii.gz",
        *[formats.read(folder / "case_005.nii.gz").voxels, formats.read(folder / "case_006.nii.gz")],
    )
    page = Page(write_report(run))
    assert "case_006 has no estimate: The mask was changed since." in page.text
    assert "Without an estimate (1): case_008." in page.text
    assert "Best by estimate" in page.text


def test_a_folder_elsewhere_is_named(run, data, tmp_path):
    with pytest.raises(UserError, match="has no masks: name the folder"):
        write_report(run, predictions=data)
    masks = predicted(tmp_path / "far" / "masks", data)
    page = Page(write_report(run, predictions=masks))
    assert "4 masks in masks" in page.text
    (data / "imagesTs" / "case_008_0000.nii.gz").rename(tmp_path / "gone.nii.gz")
    assert (
        "No picture of case_008 (smallest volume): its scan is not at"
        in Page(write_report(run, predictions=masks)).text
    )


def test_evaluated_cases_are_not_shown_twice(run, data):
    folder = predicted(run / "test", data)
    evaluate(folder, data / "labelsTs", folder)
    assert "without a reference" not in Page(write_report(run)).text
    for n in (7, 8):
        (data / "labelsTs" / f"case_00{n}.nii.gz").unlink()
    evaluate(folder, data / "labelsTs", folder)
    page = Page(write_report(run))
    assert "2 masks in test, without a reference" in page.text
    assert re.findall(r"(?:Largest|Smallest) volume: (case_\d+)", page.text) == ["case_007", "case_008"]


def test_scores_of_training_and_validation_cases_are_marked(run, data):
    write_predictions(data, run / "train", lost=(0, 1, 2), split="Tr")
    evaluate(run / "train", data / "labelsTr", run / "train")
    page = Page(write_report(run))
    assert "2 of 3 are training cases: the run learned from their labels; 1 of 3 are validation cases" in page.text
    assert page.row("case_001 training")
    assert page.row("case_004 validation")


def test_slices_are_spread_over_what_is_predicted():
    import numpy as np

    mask = np.zeros((20, 4, 4), np.uint8)
    mask[4:16] = 1
    assert spread_slices(mask) == [6, 10, 14]
    assert spread_slices(mask[:1]) == [0]
    assert spread_slices(np.zeros((6, 4, 4))) == [1, 3, 5]
