"""The page of several runs: paired differences, the same slices, curves, what differs, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from written_runs import log, write_predictions, write_run

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import new_volume
from crossmatch.reports import write_comparison, write_report
from crossmatch.reports.beside import differing_slice, false_islands
from crossmatch.reports.comparison import run_names
from crossmatch.reports.renderings import island_surfaces
from crossmatch.scoring.evaluate import evaluate
from page import Page
from tiny import write_dataset


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "data", n_train=3, n_val=1, n_test=4, unlabelled=1)


@pytest.fixture
def runs(tmp_path, data):
    """The first loses 0, 1, 2 and 4 of the four slices of its cases, the second 0, 0, 1 and 2."""
    found = []
    for name, lost, change in (("first", (0, 1, 2, 4), "supervised"), ("second", (0, 0, 1, 2), "crossmatch")):
        run = write_run(tmp_path / name, data, log(), f"method.name={change}")
        write_predictions(data, run / "test", lost)
        evaluate(run / "test", data / "labelsTs", run / "test")
        found.append(run)
    return found


def change(path: Path, *keys: str, value: object) -> None:
    """Change one entry of a JSON file."""
    tree = json.loads(path.read_text())
    inner = tree
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(tree))


def test_differences_are_paired_and_their_sign_is_that_of_the_later_run(runs, tmp_path):
    page = Page(write_comparison(runs, tmp_path / "both.html"))
    before, after = (
        {
            row["case"] + row["class"]: row["dice"]
            for row in json.loads((run / "test/summary.json").read_text())["cases"]
        }
        for run in runs
    )
    means = {
        case: np.mean([after[case + name] - before[case + name] for name in ("RV", "MYO")]) * 100
        for case in ("case_005", "case_006", "case_007", "case_008")
    }
    assert means["case_008"] > 50
    row = page.row("second − first")
    assert row[1].startswith(f"+{np.mean(list(means.values())):.1f} ±")
    assert row[2] == f"+0.0 … +{means['case_008']:.1f}"
    assert row[3:] == ["3", "0", "0.25"]  # 3 of 3 positive differences: 2 / 2^3
    dots = re.findall(r'class="dot k(\d)" style="left:([\d.]+)%" title="(\w+): ([\d.]+) %"', page.source)
    assert [(place, name) for place, _, name, _ in dots[:2]] == [("0", "first"), ("1", "second")]
    assert dots[0][3] == "0.0", "the largest gain stands first"
    assert dots[0][1] == "0.00"
    assert f"+{means['case_008']:.1f}" in page.text
    assert "<code>crossmatch benchmark</code> compares methods" in page.source


def test_the_same_slices_side_by_side(runs, tmp_path):
    page = Page(write_comparison(runs, tmp_path / "both.html"))
    assert re.findall(r"(Largest gain|Median difference|Smallest gain): (case_\d+)", page.text) == [
        ("Largest gain", "case_008"),
        ("Median difference", "case_007"),
        ("Smallest gain", "case_005"),
    ]
    rows = [rest.split("</div>")[0] for rest in page.source.split('<div class="beside">')[1:]]
    texts = [re.findall("<figcaption>(.*?)</figcaption>", row) for row in rows]
    assert all(len(row) == 4 for row in texts), "scan, two runs, reference"
    assert texts[0][1:] == ["first: Dice 0 %", "second: Dice 100 %", "reference"]
    pictures = [re.findall('href="data:image/png;base64,([^"]*)"', row) for row in rows]
    assert all(len(set(row)) == 1 for row in pictures), "one slice in each row"


def test_curves_lie_over_each_other_and_settings_that_differ_stand_beside_each_other(runs, tmp_path):
    page = Page(write_comparison(runs, tmp_path / "both.html"))
    numbers = [json.loads(text) for text in re.findall('class="numbers">(.*?)</script>', page.source)]
    assert all([curve["name"] for curve in panel["curves"]] == ["first", "second"] for panel in numbers)
    titles = re.findall('<figure class="panel.*?<figcaption>(.*?)</figcaption>', page.source)
    assert titles[:3] == ["Validation Dice, %", "Total loss", "Supervised loss, L_sup"]
    tkd = numbers[titles.index("Teacher distillation, L_tkd")]["curves"][0]["values"][0]
    assert tkd == pytest.approx(1 / (5 + 9), rel=1e-5), "the whole term, not its parts"
    assert page.row("method.name") == ["method.name", "supervised", "crossmatch"]
    assert page.row("method.threshold") == ["method.threshold", "–", "0.5"]
    assert not any(row and row[0] in ("seed", "train.steps", "learned_from.root") for row in page.rows), (
        "they are equal"
    )


def test_runs_of_other_classes_are_refused(runs, tmp_path):
    change(runs[1] / "run.json", "data", "labels", value={"background": 0, "RV": 1, "LV": 2})
    with pytest.raises(UserError, match=r"other classes \(background, RV, MYO against background, RV, LV\)"):
        write_comparison(runs, tmp_path / "both.html")
    assert not (tmp_path / "both.html").exists()
    with pytest.raises(UserError, match="first is named twice"):
        write_comparison([runs[0], runs[0]], tmp_path / "both.html")
    with pytest.raises(UserError, match="at least two runs"):
        write_comparison(runs[:1], tmp_path / "both.html")
    with pytest.raises(UserError, match=r"is no run"):
        write_comparison([runs[0], tmp_path], tmp_path / "both.html")


def test_what_makes_runs_unequal_is_said(runs, tmp_path):
    change(runs[1] / "run.json", "data", "fingerprint", value="beef" * 16)
    change(runs[1] / "run.json", "data", "labelled", value=["case_005"])
    summary = runs[1] / "test" / "summary.json"
    rows = json.loads(summary.read_text())["cases"]
    change(summary, "cases", value=[row for row in rows if row["case"] != "case_007"])
    page = Page(write_comparison(runs, tmp_path / "both.html"))
    assert "second and first learned from different data (tiny, tiny)." in page.text
    assert "second was tested on cases whose labels it had used: case_005." in page.text
    assert "Not all runs were tested on the same cases: 3 cases are compared." in page.text


def test_runs_that_were_scored_in_different_ways_are_named(runs, tmp_path):
    change(runs[1] / "test/summary.json", "largest_component", value=True)
    for run, flips, checkpoint in zip(runs, (True, False), ("best", "last"), strict=True):
        made = {"flips": flips, "checkpoint": checkpoint}
        change(run / "test/summary.json", "prediction", value=made)
    assert (
        "Scored in different ways: first by its best checkpoint, of masks averaged over mirror images; second by its "
        "last checkpoint, of each predicted class the largest component."
    ) in Page(write_comparison(runs, tmp_path / "both.html")).text


def test_cases_whose_images_were_learned_from_are_no_test_cases(runs, tmp_path, data):
    """case_003 has no label that the runs knew; its reference came later, under the name of another folder."""
    (tmp_path / "later").mkdir()
    for run in runs:
        folder = run / "of_training"
        for path in (data / "labelsTr").iterdir():
            voxels = formats.read(path)
            formats.write(folder / path.name.replace("case_001", "case_003"), voxels.voxels, voxels)
        for path in folder.iterdir():
            (tmp_path / "later" / path.name).write_bytes(path.read_bytes())
        for case in ("case_002", "case_004"):
            (folder / f"{case}.nii.gz").unlink()
        evaluate(folder, tmp_path / "later", folder, partial=True)
    text = Page(write_comparison(runs, tmp_path / "both.html")).text
    assert "second was tested on cases named like some that it had used: case_003." in text
    assert "1 of 1 are named like cases that the run, or one" in Page(write_report(runs[1])).text
    for run in runs:  # as if it had been evaluated beside a dataset.json
        change(run / "of_training/summary.json", "dataset", value="tiny")
    text = Page(write_comparison(runs, tmp_path / "both.html")).text
    assert "second was tested on cases whose images it had learned from: case_003." in text
    assert "first was tested on" not in text  # it is supervised, and saw no image without a label
    page = Page(write_report(runs[1]))
    assert "1 of 1 are unlabelled training cases: the run learned from their images." in page.text


def test_scores_of_masks_that_were_written_since_are_named(runs, tmp_path):
    text = Page(write_comparison(runs, tmp_path / "page.html")).text
    assert "Masks written since" not in text
    mask = min((runs[1] / "test").glob("*.nii.gz"))
    like = formats.read(mask)
    formats.write(mask, (like.voxels == 0).astype(like.voxels.dtype), like)
    text = Page(write_comparison(runs, tmp_path / "page.html")).text
    assert f"Masks written since they were scored (1): {formats.stem(mask)}. Evaluate again." in text


def test_runs_that_were_scored_against_different_references_are_told(runs, tmp_path, data):
    assert "eferences" not in Page(write_comparison(runs, tmp_path / "page.html")).text.replace("the reference's", "")
    reference = data / "labelsTs" / "case_006.nii.gz"
    like = formats.read(reference)
    formats.write(reference, np.roll(like.voxels, 1, axis=0), like)
    text = Page(write_comparison(runs, tmp_path / "page.html")).text
    since = "References written since masks were scored against them (1): case_006. Evaluate again."
    assert f"first: {since}" in text
    assert "different references" not in text  # both knew the earlier one
    evaluate(runs[1] / "test", data / "labelsTs", runs[1] / "test")
    text = Page(write_comparison(runs, tmp_path / "page.html")).text
    assert f"first: {since}" in text
    assert f"second: {since}" not in text
    assert "Scored against different references (1): case_006. Evaluate all runs again." in text
    change(runs[0] / "test/summary.json", "references_sha256", value={})  # as earlier versions wrote it
    text = Page(write_comparison(runs, tmp_path / "page.html")).text
    assert "different references" not in text
    assert since not in text


def test_a_run_that_was_scored_with_other_class_names_has_dashes(runs, tmp_path, data):
    """Its references had no dataset.json beside them; nothing was empty."""
    (tmp_path / "alone").mkdir()
    (data / "labelsTs").rename(tmp_path / "alone" / "labelsTs")
    (runs[1] / "test" / "summary.json").unlink()
    (runs[1] / "test" / "cases.csv").unlink()
    evaluate(runs[1] / "test", tmp_path / "alone" / "labelsTs", runs[1] / "test")
    page = Page(write_comparison(runs, tmp_path / "both.html"))
    rows = [row for row in page.rows if row[0] in ("first", "second") and len(row) > 4]
    assert [row[2:4] for row in rows] == [rows[0][2:4], ["–", "–"]]
    assert "–" not in rows[0][2:4]
    assert all(re.fullmatch(r"\d+\.\d ± .*", row[1]) for row in rows), "the mean over all classes"
    told = "Scored with other class names or numbers: first 1 RV, 2 MYO; second 1 label 1, 2 label 2. Evaluate all runs"
    assert told in page.text
    assert "one of the two masks is empty or has no surface" not in page.source


def test_cases_of_one_name_from_different_scans_are_not_compared(runs, tmp_path):
    for run, digest in zip(runs, ("aa", "bb"), strict=True):
        scans = {f"case_00{n}": [{"path": "x", "sha256": digest if n == 5 else "cc"}] for n in (5, 6, 7, 8)}
        (run / "test" / "prediction.json").write_text(json.dumps({"scans": scans}))
    page = Page(write_comparison(runs, tmp_path / "both.html"))
    assert "made from different scans, so not compared: case_005." in page.text
    assert page.row("second − first")[3] == "3"


def test_a_run_without_an_evaluation_has_curves_and_settings(runs, tmp_path, data):
    other = write_run(tmp_path / "other", data, log(20), "seed=9", step=20)
    page = Page(write_comparison([*runs, other], tmp_path / "all.html"))
    assert "Not evaluated, so without scores and pictures: other." in page.text
    assert "They did not train for equally long: first 60 steps, second 60 steps, other 20 steps." in page.text
    assert page.row("seed") == ["seed", "7", "7", "9"]
    only = Page(write_comparison([other, runs[0]], tmp_path / "two.html"))
    assert "Case by case" not in only.text
    assert "Scores" in only.text


def test_masks_that_are_gone_leave_scores(runs, tmp_path):
    (runs[0] / "test" / "case_008.nii.gz").unlink()
    page = Page(write_comparison(runs, tmp_path / "both.html"))
    assert "No picture of case_008 (largest gain): there is no mask of case_008" in page.text
    assert page.row("second − first")


def test_names_tell_runs_apart():
    assert run_names([Path("/a/x/run"), Path("/a/y/run")]) == ["x/run", "y/run"]
    assert run_names([Path("/a/one"), Path("/b/two")]) == ["one", "two"]


def test_no_name_becomes_a_tag(tmp_path, data):
    runs = []
    for name in ("<script>alert(1)</script>".replace("/", "|"), '"><img src=x onerror=alert(2)>'):
        run = write_run(tmp_path / name, data, log())
        write_predictions(data, run / "test")
        evaluate(run / "test", data / "labelsTs", run / "test")
        runs.append(run)
    source = write_comparison(runs, tmp_path / "both.html").read_text()
    assert "<script>alert" not in source
    assert "<img src=x" not in source
    assert source.count("&lt;script&gt;alert(1)") > 3


def test_false_islands_touch_nothing_of_their_class():
    reference, mask = np.zeros((2, 8, 8, 4), np.uint8)
    reference[1:4, 1:4] = 1
    reference[6, 6, 3] = 2
    mask[2:5, 2:5] = 1  # overlaps
    mask[5, 5, 0] = 1  # at a corner of the part above: belongs to it
    mask[7, 0:2, 0] = 1  # two voxels of an island
    mask[6, 6, 3] = 1  # on the reference of another class: an island
    found = false_islands(mask, reference, {"A": 1, "B": 2})
    assert np.argwhere(found == 1).tolist() == [[6, 6, 3], [7, 0, 0], [7, 1, 0]]
    assert not (found == 2).any()


def test_the_slice_in_which_runs_differ_most():
    reference, one, other = np.zeros((3, 4, 5, 5), np.uint8)
    reference[1, :4, :4] = one[1, :4, :4] = other[1, :4, :4] = 1
    one[3, 0, :3] = 1  # three wrong voxels
    other[2, 0, 0] = one[2, 0, 0] = 1
    assert differing_slice(reference, [one, other]) == 3
    assert differing_slice(reference, [one, one]) == 1, "no difference: the largest reference"


def test_surfaces_name_false_islands():
    reference, mask = np.zeros((2, 14, 14, 14), np.uint8)
    reference[2:8, 2:8, 2:8] = mask[2:8, 2:8, 2:8] = 1
    mask[11:13, 11:13, 11:13] = 1
    scan = new_volume(mask, np.diag([1.0, 1.0, 1.0, 1.0]))
    islands = {"a": false_islands(mask, reference, {"LA": 1}), "b": np.zeros_like(mask)}
    rows, _ = island_surfaces(scan, reference, {"a": mask, "b": np.zeros_like(mask)}, islands, {"LA": 1})
    texts = re.findall("<figcaption>(.*?)</figcaption>", rows[0])
    assert texts == [  # 2 x 216 of 216 + 224
        "LA, a, Dice 98.2 %, 1 false island",
        "LA, b: no voxel of it, Dice 0.0 %.",
        "LA, reference",
    ]
