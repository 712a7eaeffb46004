"""Masks without a reference on the page of a run: of other classes or weights, of labelled scans, of replaced scans."""

import json
import re
import shutil

import numpy as np
import torch
from estimated_masks import predicted, scan_state, write_estimates
from written_runs import log, write_predictions, write_run

from crossmatch import formats
from crossmatch.inference.origin import weights_digest
from crossmatch.reports import write_comparison, write_report
from crossmatch.runs.checkpoint import Checkpoint, save_checkpoint
from crossmatch.scoring.evaluate import evaluate
from page import Page
from tiny import write_dataset

SWAPPED = {"background": 0, "MYO": 1, "RV": 2}
CHOSEN = r"(?:Best|Middle|Worst) by estimate[^:]*: (case_\d+)"


def rewrite(path):
    """Other voxels on the same grid."""
    like = formats.read(path)
    formats.write(path, np.flip(like.voxels, 0).copy(), like)


def test_masks_of_other_classes_are_left_out(run, data, tmp_path):
    masks = predicted(tmp_path / "masks", data, run="other", data={"labels": SWAPPED})
    page = Page(write_report(run, predictions=masks))
    told = (
        "(4) are not shown: other made them, whose classes have other names or numbers (0 background, 1 MYO, 2 RV "
        "against 0 background, 1 RV, 2 MYO)."
    )
    assert told in page.text
    assert "case_005" not in page.text
    assert "4 masks" not in page.text
    same = predicted(tmp_path / "same", data, run="other", data={"labels": {"background": 0, "RV": 1, "MYO": 2}})
    assert "4 masks in same" in Page(write_report(run, predictions=same)).text


def test_masks_of_other_weights_say_which(run, data, tmp_path):
    masks = predicted(tmp_path / "masks", data, run="other", step=120)
    told = "The masks in masks were made by the run other at step 120, not by the last weights that are here now."
    assert told in Page(write_report(run, predictions=masks)).text
    mine = {"layer": torch.ones(2)}
    predicted(run / "unlabelled", data, run="run", step=60, weights_sha256=weights_digest(mine))
    for step, network in ((60, mine), (200, {"layer": torch.zeros(2)})):
        facts = {"step": step, "seconds": 125.0, "method": "crossmatch"}
        save_checkpoint(run / "checkpoints" / "last.safetensors", Checkpoint(facts, network, {}))
        text = Page(write_report(run)).text
        assert ("unlabelled were made at step 60, and the last weights are of step 200 by now" in text) == (step == 200)
        assert "4 masks in unlabelled" in text


def test_labelled_scans_are_marked_and_not_the_best(run, data):
    """The run learned from the labels of case_001 and case_002, and was validated with case_004."""
    folder = predicted(run / "new", data, "Tr")
    write_predictions(data, folder)
    scores = {"case_001": 0.95, "case_002": 0.9, "case_004": 0.85, "case_006": 0.7, "case_007": 0.6, "case_008": 0.5}
    origin = json.loads((folder / "prediction.json").read_text())
    for case in ("case_006", "case_007", "case_008"):
        origin["scans"][case] = [scan_state(folder, data / "imagesTs" / f"{case}_0000.nii.gz")]
    (folder / "prediction.json").write_text(json.dumps(origin))
    write_estimates(folder, scores)
    page = Page(write_report(run))
    assert [row[0] for row in page.rows if row and row[0].startswith("case_0")] == [
        "case_001 training",
        "case_002 training",
        "case_004 validation",
        "case_006",
        "case_007",
        "case_008",
    ]
    assert re.findall(CHOSEN, page.text) == ["case_006", "case_007", "case_008"]
    assert "2 of 7 are training cases: the run learned from their labels; 1 of 7 are validation cases" in page.text
    (folder / "quality.json").unlink()
    page = Page(write_report(run))
    assert page.row("case_001 training")
    chosen = re.findall(r"(?:Largest|Middle|Smallest) volume: (case_\d+)", page.text)
    assert chosen == ["case_005", "case_006", "case_008"]


def test_nothing_but_labelled_scans_has_no_pictures(run, data):
    predicted(run / "new", data, "Tr")
    page = Page(write_report(run))
    assert "2 of 3 are training cases" in page.text
    assert "volume: " not in page.text
    assert page.row("case_004 validation")


def test_a_scan_of_the_same_name_elsewhere_is_labelled_if_it_is_the_same(run, data, tmp_path):
    other = write_dataset(tmp_path / "other", n_train=3, n_val=1, seed=5)
    described = json.loads((other / "dataset.json").read_text())
    (other / "dataset.json").write_text(json.dumps({**described, "name": "other"}))
    masks = predicted(tmp_path / "masks", other, "Tr")
    assert "training" not in [
        word for row in Page(write_report(run, predictions=masks)).rows for word in row[0].split()
    ]
    name = "case_001_0000.nii.gz"
    shutil.copy(data / "imagesTr" / name, other / "imagesTr" / name)
    predicted(masks, other, "Tr")
    page = Page(write_report(run, predictions=masks))
    assert page.row("case_001 training")
    assert page.row("case_002")


def test_labels_that_another_run_used_are_marked_too(run, data):
    facts = {"name": "tiny", "labelled": ["case_005"], "validation": []}
    predicted(run / "new", data, run="run + other", members=[{"run": "run"}, {"run": "other", "data": facts}])
    page = Page(write_report(run))
    assert page.row("case_005 training")
    assert "1 of 4 are training cases" in page.text
    assert "were made by 2 runs together, run and other, not by run alone" in page.text


def test_scans_that_were_written_since_are_named(run, data, tmp_path):
    predicted(run / "new", data)
    assert "Scans written since" not in Page(write_report(run)).text
    rewrite(data / "imagesTs" / "case_006_0000.nii.gz")
    told = "Scans written since masks in new were made of them (1): case_006. Predict again."
    assert told in Page(write_report(run)).text
    evaluate(run / "new", data / "labelsTs", run / "new")
    told = "Scans written since masks were made of them (1): case_006. Predict and evaluate again."
    assert told in Page(write_report(run)).text
    other = write_run(tmp_path / "other", data, log())
    assert f"run: {told}" in Page(write_comparison([run, other], tmp_path / "both.html")).text
