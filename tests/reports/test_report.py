"""The report: a page complete in itself, with the right numbers, curves and cases, for runs in every state."""

import base64
import hashlib
import json
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from written_runs import log, write_predictions, write_run

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.reports import write_report
from crossmatch.scoring.evaluate import evaluate
from page import Page
from tiny import write_dataset


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "data", n_train=3, n_val=1, n_test=4, classes=3, unlabelled=1)


@pytest.fixture
def evaluated(tmp_path, data):
    run = write_run(tmp_path / "run", data, log())
    write_predictions(data, run / "test")
    evaluate(run / "test", data / "labelsTs", run / "test")
    return run


@pytest.fixture
def page(evaluated):
    return Page(write_report(evaluated))


def test_needs_nothing_but_itself(page, evaluated):
    assert (evaluated / "report.html").stat().st_size < 300_000
    links = [v for _, attrs in page.tags for k, v in attrs.items() if k in ("src", "href", "srcset", "data", "action")]
    assert links
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert not {"link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"url\((?!data:)", page.source)
    assert "@import" not in page.source
    assert not page.open, "a tag is left open"


def test_key_numbers(page):
    for text in (
        "run",
        "crossmatch · tiny · 2D unet",
        "70.0 %",
        "highest 80.0 at step 40",
        "2\u00a0min 05\u00a0s",
        "2 + 1",
    ):
        assert text in page.text
    assert "Stopped" not in page.text


def test_settings_and_origin(page):
    assert page.row("batch.unlabelled") == ["batch.unlabelled", "4"]
    assert page.row("width") == ["width", "8"]
    assert page.row("background") == ["background", "true"]
    assert page.row("smooth") == ["smooth", "0.0001"]
    assert page.row("cutmix.aspect") == ["cutmix.aspect", "0.3, 3.33333"]
    assert page.row("seed") == ["seed", "7"]
    assert page.row("commit") == ["commit", "abc123"]
    assert page.row("torch") == ["torch", "2.8.0"]
    assert page.row("precision") == ["precision", "auto"]
    assert page.row("fingerprint") == ["fingerprint", "f00d" * 16]
    assert "Blurs with a true <Gaussian>." in page.text


def test_every_term_has_a_curve(page):
    panels = [text.split("</svg>")[0] for text in page.source.split('<figure class="panel')[1:]]
    drawn = [sorted(re.findall(r'<path class="(?:line|dots)[^>]*><title>([^<]*)', panel)) for panel in panels]
    assert drawn == [
        ["MYO", "RV", "mean"],
        ["total"],
        ["sup"],
        ["ip1", "ip2"],
        ["tkd", "tkd_ss", "tkd_sw", "tkd_ws", "tkd_ww"],
        ["dkd", "dkd_s", "dkd_w"],
        ["confident"],
        ["learning_rate"],
    ]


def test_the_wide_panel_is_drawn_again_for_a_phone_as_wide_as_the_others(page):
    views = [(attrs.get("class"), attrs["viewbox"]) for tag, attrs in page.tags if tag == "svg" and "role" in attrs]
    assert views[:3] == [("across", "0 0 700 190"), ("phone", "0 0 340 190"), ("", "0 0 340 190")]


def test_tables_of_scores(page, evaluated):
    cases = [row for row in page.rows if row and row[0].startswith("case_0")]
    assert [row[0] for row in cases] == ["case_005", "case_006", "case_007", "case_008"]
    assert cases[0][1:] == ["100.0"] * 3 + ["0.0"] * 6
    assert cases[3][1:] == ["0.0"] * 3 + ["undef."] * 6
    written = json.loads((evaluated / "test" / "summary.json").read_text())["summary"]
    rv = written["classes"]["RV"]
    row = next(row for row in page.rows if row and row[0] == "RV")
    assert row[1] == f"{100 * rv['dice']['mean']:.1f} ± {100 * rv['dice']['std']:.1f}"
    assert row[-3] == f"{rv['hd95_mm']['mean']:.1f} ± {rv['hd95_mm']['std']:.1f}1 undef."
    assert f"{100 * written['mean']['dice']['mean']:.1f} %" in page.text


def test_best_median_and_worst_case(page):
    heads = re.findall(r"(Best|Median|Worst): (case_\d+), Dice ([\d.]+) %", page.text)
    assert [(kind, case) for kind, case, _ in heads] == [
        ("Best", "case_005"),
        ("Median", "case_006"),
        ("Worst", "case_008"),
    ]
    assert (heads[0][2], heads[2][2]) == ("100.0", "0.0")
    assert sum(attrs.get("class") == "overlay" for _, attrs in page.tags) == 9
    outlines = [attrs for tag, attrs in page.tags if tag == "g" and attrs.get("class") in ("reference", "prediction")]
    assert len(outlines) == 18


def test_names_cannot_break_the_page(tmp_path, data):
    run = write_run(tmp_path / "<i>run & co", data, log())
    page = Page(write_report(run))
    assert "<i>run & co" in page.text
    assert "i" not in page.open


def test_picture_shows_the_image(page, data):
    """The embedded PNG is as large as the crop says, and not black."""
    link = next(attrs["href"] for tag, attrs in page.tags if tag == "image")
    stored = base64.b64decode(link.partition(",")[2])
    width, height = struct.unpack(">2I", stored[16:24])
    pixels = np.frombuffer(zlib.decompress(stored[stored.index(b"IDAT") + 4 : -16]), np.uint8)
    assert pixels.size == height * (width + 1)
    assert pixels.max() > 200


def test_without_evaluation_it_says_how_to_add_one(tmp_path, data):
    run = write_run(tmp_path / "a run", data, log())
    text = Page(write_report(run)).text
    assert f"crossmatch predict '{run}' {data}/imagesTs '{run}/test'" in text
    assert f"crossmatch evaluate '{run}/test' {data}/labelsTs" in text
    assert "Validation Dice" in text


def test_unfinished_run_says_how_to_go_on(tmp_path, data):
    run = write_run(tmp_path / "run", data, log(40), step=40)
    text = Page(write_report(run)).text
    assert "at step 40 of 60" in text
    assert "--resume" in text


def test_run_without_metrics(tmp_path, data):
    text = Page(write_report(write_run(tmp_path / "run", data, None))).text
    assert "Nothing has been logged yet" in text
    assert "no checkpoint to tell" in text


def test_undefined_values(tmp_path, data):
    lines = [
        {"step": 5, "train": {"total": None, "sup": 1.0}},
        {"step": 5, "validation": {"mean": None, "RV": None, "MYO": None}},
        {"step": 10, "train": {"total": None, "sup": 0.5}},
    ]
    page = Page(write_report(write_run(tmp_path / "run", data, lines)))
    assert page.text.count("no finite value") == 3  # of two panels, one of which is drawn twice
    assert not re.search(r'd="[^"]*nan', page.source)


def test_missing_images_leave_scores_and_say_so(evaluated, data):
    data.rename(data.with_name("elsewhere"))
    page = Page(write_report(evaluated))
    assert "No picture of case_005 (best): the dataset is not at" in page.text
    assert page.row("case_008")[1] == "0.0"
    assert not any(tag == "image" for tag, _ in page.tags)


def test_scores_of_largest_components_are_told_and_shown_as_scored(tmp_path, data):
    run = write_run(tmp_path / "run", data, log())
    write_predictions(data, run / "test", (1, 1, 1, 1))
    for path in (run / "test").iterdir():
        like = formats.read(path)
        voxels = like.voxels.copy()
        voxels[0, 0, 0] = 1  # an island, which is not scored
        formats.write(path, voxels, like)
    evaluate(run / "test", data / "labelsTs", run / "largest", largest_component=True)
    page = Page(write_report(run))
    assert "cases, of each predicted class the largest component: mean ± standard deviation" in page.text
    assert "are not what was evaluated" not in page.text
    assert "No picture" not in page.text


def test_masks_that_changed_are_not_shown(evaluated):
    for path in (evaluated / "test").glob("*.nii.gz"):
        like = formats.read(path)
        formats.write(path, np.ones_like(like.voxels), like)
    page = Page(write_report(evaluated))
    assert "are not what was evaluated; evaluate again" in page.text
    assert not any(tag == "image" for tag, _ in page.tags)


def test_scores_of_masks_that_were_written_since_are_named(evaluated):
    """Whichever case it is, and although its Dice is the same; a mask that is only touched has its score."""
    assert "Masks written since" not in Page(write_report(evaluated)).text
    changed = evaluated / "test" / "case_007.nii.gz"
    like = formats.read(changed)
    formats.write(changed, like.voxels[:, :, ::-1].copy(), like)
    (evaluated / "test" / "case_006.nii.gz").touch()
    text = Page(write_report(evaluated)).text
    assert "Masks written since they were scored (1): case_007. Evaluate again." in text


def test_references_that_were_written_since_are_named(evaluated, data, tmp_path):
    """Where the evaluation recorded them, and where all was moved; results that know no digests say nothing."""
    assert "References written since" not in Page(write_report(evaluated)).text
    shift(data / "labelsTs" / "case_007.nii.gz")
    (data / "labelsTs" / "case_006.nii.gz").touch()
    told = "References written since masks were scored against them (1): case_007. Evaluate again."
    assert told in Page(write_report(evaluated)).text
    tmp_path.joinpath("moved").mkdir()
    moved = evaluated.rename(tmp_path / "moved" / "run")
    assert told in Page(write_report(moved)).text, "the run knows its data"
    data.rename(tmp_path / "moved" / "data")
    assert told in Page(write_report(moved)).text, "beside the run, as before"
    summary = moved / "test" / "summary.json"
    stored = json.loads(summary.read_text())
    summary.write_text(json.dumps({key: stored[key] for key in stored if key not in ("references_sha256", "places")}))
    assert "References written since" not in Page(write_report(moved)).text


def test_one_reference_that_was_written_since_is_named(tmp_path, data):
    """Of an evaluation of two files, whose reference is of no dataset."""
    run = write_run(tmp_path / "run", data, log())
    write_predictions(data, run / "test")
    reference = tmp_path / "case_005.nii.gz"
    reference.write_bytes((data / "labelsTs" / reference.name).read_bytes())
    evaluate(run / "test" / reference.name, reference, run / "test")
    assert "References written since" not in Page(write_report(run)).text
    shift(reference)
    assert "References written since masks were scored against them (1): case_005." in Page(write_report(run)).text


def shift(path: Path) -> None:
    like = formats.read(path)
    formats.write(path, np.roll(like.voxels, 1, axis=0), like)


def test_evaluation_kept_elsewhere(tmp_path, data):
    run = write_run(tmp_path / "run", data, log())
    write_predictions(data, tmp_path / "masks")
    evaluate(tmp_path / "masks", data / "labelsTs", tmp_path / "scores")
    out = write_report(run, evaluation=tmp_path / "scores" / "summary.json", out=tmp_path / "pages" / "a.html")
    assert out == tmp_path / "pages" / "a.html"
    assert sum(tag == "image" for tag, _ in Page(out).tags) == 9, "the masks lie beside, in the folder's recorded name"
    again = write_report(run, evaluation=tmp_path / "scores", predictions=tmp_path / "scores", out=out)
    assert "there is no mask" in Page(again).text


def test_other_files_are_not_overwritten(tmp_path, data):
    run = write_run(tmp_path / "run", data, log())
    other = tmp_path / "thesis.html"
    other.write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.html exists and is no report"):
        write_report(run, out=other)
    assert other.read_text() == "years of work"
    with pytest.raises(UserError, match="is a folder"):
        write_report(run, out=tmp_path)


def test_a_folder_that_may_not_be_read_is_named(evaluated, monkeypatch):
    """Its scores would be missing in silence. Whoever runs tests may be allowed to read everything."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "test")
    with pytest.raises(UserError, match="may not be read: change its permissions, or name another with --"):
        write_report(evaluated)


def test_no_run(tmp_path):
    with pytest.raises(UserError, match=r"is no run: it has no run\.json"):
        write_report(tmp_path)


def test_two_dimensional_cases(tmp_path):
    data = write_dataset(tmp_path / "data", n_test=1, shape=(16, 14))
    run = write_run(tmp_path / "run", data, log())
    label = formats.read(data / "labelsTs" / "case_005.nii.gz")
    formats.write(run / "test" / "case_005.nii.gz", label.voxels, label)
    evaluate(run / "test", data / "labelsTs", run / "test")
    page = Page(write_report(run))
    assert "The only one: case_005, Dice 100.0 %" in page.text
    assert sum(tag == "image" for tag, _ in page.tags) == 2  # alone, and under the masks
    assert "Slice" not in page.text


def test_no_value_of_a_file_becomes_a_tag(tmp_path: Path) -> None:
    """A script in every text that run.json, metrics.jsonl, summary.json and prediction.json can hold."""
    script = "<script>alert(1)</script>"

    def planted(tree: object, keep: tuple[str, ...] = ()) -> object:
        if isinstance(tree, dict):
            return {key: value if key in keep else planted(value, keep) for key, value in tree.items()}
        if isinstance(tree, list):
            return [planted(value, keep) for value in tree]
        return f"{tree}{script}" if isinstance(tree, str) else tree

    values = {script: 1.0, "mean": 1.0}
    run = write_run(tmp_path / "run", tmp_path / "data", [{"step": 5, "train": values, "validation": values}])
    record = json.loads((run / "run.json").read_text())
    recipe = {**record["recipe"], "about": script, "departures": [script]}
    record = {**planted(record, ("precision",)), "recipe": recipe}
    record["data"]["labels"] = {script: 0, f"{script}1": 1}
    record["data"]["unlabelled"] = 1
    (run / "run.json").write_text(json.dumps(record))
    scores = {"dice": 0.5, "jaccard": 0.4, "hd95_voxels": None, "asd_voxels": 1.0, "assd_voxels": 1.0}
    summary = {
        "format": "crossmatch evaluation 1",
        "predictions": "<script>alert(1)",
        "references": "<script>alert(2)",
        "dataset": script,
        "labels": {script: 1},
        "missing": [script],
        "extra": [script],
        "cases": [{"case": script, "class": script, "value": 1, **scores}],
        "prediction": {"run": script, "checkpoint": "<script>", "step": 5, "flips": False},
    }
    (run / "test").mkdir()
    (run / "test" / "summary.json").write_text(json.dumps(summary))
    page = write_report(run).read_text()
    assert page.count("&lt;script&gt;") > 10
    assert page.count("\\u003cscript\\u003e") == 2, "in the numbers of curves"
    assert "<script>alert" not in page
    allowed = re.search('script-src ([^"]*)', page)[1].split()
    scripts = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    assert allowed == [f"'sha256-{digest}'" for digest in digests], "no other script runs"


@pytest.mark.parametrize("value", [0.0, 1e-308, 5e-324, -1e-308, 3e38, -3e38])
def test_curves_of_extreme_values_are_drawn(value: float, data: Path, tmp_path: Path) -> None:
    lines = [{"step": 5, "train": {"total": 0.0, "sup": value}}, {"step": 10, "train": {"total": value, "sup": -value}}]
    page = write_report(write_run(tmp_path / "run", data, lines)).read_text()
    assert "NaN" not in page
    assert 'd="M' in page
