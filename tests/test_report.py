"""The report: a page complete in itself, with the right numbers, curves and cases, for runs in every state."""

import base64
import json
import math
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from crossmatch.checkpoint import Checkpoint, save_checkpoint
from crossmatch.config import load_recipe
from crossmatch.data.files import new_volume, read_volume, write_volume
from crossmatch.errors import UserError
from crossmatch.evaluate import evaluate
from crossmatch.report import curves, overlays, slices, write_report
from crossmatch.scores import Evaluation, Row
from tiny import write_dataset

TERMS = ("sup", "ip1", "ip2", "tkd_ww", "tkd_ws", "tkd_sw", "tkd_ss", "dkd_w", "dkd_s", "tkd", "dkd", "total")
STEPS = 60


class Page(HTMLParser):
    """Text, tags with their attributes, and table rows of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.open: list[str] = []
        self.source = path.read_text()
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "image", "path", "circle", "br"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag not in ("path", "image", "circle"):
            assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, head: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == head)


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "data", n_train=3, n_val=1, n_test=4, classes=3, unlabelled=1)


def write_run(folder: Path, data: Path, lines: list[dict] | None, step: int = STEPS) -> Path:
    folder.mkdir()
    recipe = load_recipe("phantom", [f"train.steps={STEPS}", "train.log_every=5", "seed=7"])
    record = {
        "recipe": {**recipe.model_dump(mode="json"), "mends": ["Blurs with a true <Gaussian>."]},
        "data": {
            "root": str(data),
            "name": "tiny",
            "fingerprint": "f00d" * 16,
            "labels": {"background": 0, "RV": 1, "MYO": 2},
            "channels": ["C0"],
            "slice_axis": 2,
            "labelled": ["case_001", "case_002"],
            "unlabelled": 1,
            "validation": ["case_004"],
        },
        "code": {"crossmatch": "0.1.0", "commit": "abc123"},
        "versions": {"python": "3.11.7", "torch": "2.8.0"},
        "device": {"type": "cpu", "name": "x86_64 CPU", "precision": "float32"},
    }
    (folder / "run.json").write_text(json.dumps(record))
    if lines is not None:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        facts = {"step": step, "best": 0.8, "seconds": 125.0, "method": "crossmatch"}
        save_checkpoint(folder / "checkpoints" / "last.safetensors", Checkpoint(facts, {}, {}))
    return folder


def log(until: int = STEPS) -> list[dict]:
    lines = []
    for step in range(5, until + 1, 5):
        train = {name: 1 / (step + n) for n, name in enumerate(TERMS)} | {"confident": 0.5, "learning_rate": 0.01}
        lines.append({"step": step, "train": train})
        if step % 20 == 0:
            mean = {20: 0.5, 40: 0.8, 60: 0.7}[step]
            lines.append({"step": step, "validation": {"mean": mean, "RV": None if step == 20 else mean, "MYO": mean}})
    return lines


def write_predictions(data: Path, folder: Path) -> None:
    """case_005 is perfect; in 006, 007, 008 one, two and all slices of four are empty."""
    for missing, path in enumerate(sorted((data / "labelsTs").iterdir())):
        like = read_volume(path)
        voxels = like.voxels.copy()
        voxels[:, :, 4 - missing if missing < 3 else 0 :] = 0
        write_volume(folder / path.name, voxels, like)


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
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert not page.open, "a tag is left open"


def test_key_numbers(page):
    for text in ("run", "crossmatch · tiny · 2D unet", "70.0 %", "highest 80.0 at step 40", "2 min 05 s", "2 + 1"):
        assert text in page.text
    assert "Stopped" not in page.text


def test_settings_and_origin(page):
    assert page.row("batch.unlabelled") == ["batch.unlabelled", "4"]
    assert page.row("channels") == ["channels", "8, 16, 32, 64"]
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
    panels = [text.split("</figure>")[0] for text in page.source.split('<figure class="panel')[1:]]
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


def test_choice_of_cases():
    def chosen(*dice: float) -> dict[str, str]:
        rows = tuple(Row(f"c{n}", "RV", 1, {"dice": value}) for n, value in enumerate(dice))
        return overlays.chosen_cases(Evaluation(rows, {"RV": 1}, "test", "labelsTs", None, (), (), None))

    assert chosen(0.2, 0.9, 0.5, 0.1, 0.6) == {"c1": "best", "c2": "median", "c3": "worst"}
    assert chosen(0.2, 0.9) == {"c1": "best", "c0": "worst"}
    assert chosen(0.2) == {"c0": "the only one"}


def test_choice_of_slices():
    reference, prediction = np.zeros((2, 5, 8, 8), np.uint8)
    reference[1, :6, :6] = prediction[1, :6, :6] = 1  # largest, perfect
    reference[2, :5, :6], prediction[2, :5, :3] = 1, 1  # 15 voxels wrong, Dice 2/3
    reference[3, 0, 0] = 1  # 1 voxel wrong, Dice 0
    reference[4, :2, :2] = prediction[4, :2, :2] = 1
    assert overlays.slice_dice(reference[2], prediction[2]) == pytest.approx(2 / 3)
    assert overlays.slice_dice(reference[0], prediction[0]) == 1
    assert overlays.chosen_slices(reference, prediction) == {
        1: "largest reference",
        2: "most wrong voxels",
        3: "lowest Dice",
    }
    same = overlays.chosen_slices(reference, reference)
    assert same == {1: "largest reference", 2: "no wrong voxel", 4: "no wrong voxel"}


def test_names_cannot_break_the_page(tmp_path, data):
    run = write_run(tmp_path / "<i>run & co", data, log())
    page = Page(write_report(run))
    assert "<i>run & co" in page.text
    assert "i" not in page.open


def test_outline_of_a_square_and_of_diagonal_neighbours():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    points = {tuple(map(float, pair.split())) for pair in re.findall(r"[\d.]+ [\d.]+", slices.outline(mask))}
    # middles of the pixel edges beside each corner of the box from (1, 1) to (4, 3), as (x, y)
    assert points == {(1.5, 1), (3.5, 1), (4, 1.5), (4, 2.5), (3.5, 3), (1.5, 3), (1, 2.5), (1, 1.5)}
    assert slices.outline(np.eye(2, dtype=bool)).count("M") == 2
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    assert slices.outline(ring).count("M") == 2
    assert slices.outline(np.zeros((3, 3), bool)) == ""


def test_png_holds_the_pixels():
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    stored = slices.png(grey)
    assert struct.unpack(">2I", stored[16:24]) == (3, 2)
    start = stored.index(b"IDAT") + 4
    assert zlib.decompress(stored[start:-16]) == b"\0\0\1\2\0\3\4\5"


@pytest.mark.parametrize(("flips", "axes"), [((-1, -1), ()), ((1, -1), (0,)), ((1, 1), (0, 1))])
def test_slices_stand_upright(flips, axes):
    """Right on the left and front on top: axes that run to the right or to the front are turned round."""
    voxels = np.arange(24).reshape(2, 3, 4)
    volume = new_volume(voxels, np.diag([1.5 * flips[0], 2.0 * flips[1], 8.0, 1.0]))
    stack, pixel = slices.upright(volume, 2)
    np.testing.assert_array_equal(stack(voxels)[1], np.flip(voxels, axes)[:, :, 1].T)
    assert pixel == (2.0, 1.5)


def test_side_views_have_the_head_on_top():
    voxels = np.arange(24).reshape(2, 3, 4)
    stack, pixel = slices.upright(new_volume(voxels, np.diag([-1.0, -2.0, 3.0, 1.0])), 0)
    np.testing.assert_array_equal(stack(voxels)[1], voxels[1, :, ::-1].T)
    assert pixel == (3.0, 2.0)
    flat, pixel = slices.upright(new_volume(voxels[0]), 2)
    np.testing.assert_array_equal(flat(voxels[0]), voxels[0].T[np.newaxis])
    assert pixel == (1.0, 1.0)


def test_crop_is_square_in_millimetres():
    labelled = np.zeros((2, 100, 200), bool)
    labelled[0, 40:50, 90:110] = True
    rows, columns = slices.crop(labelled, (2.0, 1.0))  # 20 x 20 mm, with a margin 27 x 27
    assert (rows.stop - rows.start, columns.stop - columns.start) == (14, 27)
    assert rows.start <= 40
    assert rows.stop >= 50
    assert columns.start <= 90
    assert columns.stop >= 110
    assert slices.crop(labelled[1:], (2.0, 1.0)) == (slice(None), slice(None))


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
        {"step": 5, "train": {"total": math.nan, "sup": 1.0}},  # json writes NaN, as older logs might
        {"step": 5, "validation": {"mean": None, "RV": None, "MYO": None}},
        {"step": 10, "train": {"total": None, "sup": 0.5}},
    ]
    page = Page(write_report(write_run(tmp_path / "run", data, lines)))
    assert page.text.count("no finite value") == 2
    assert not re.search(r'd="[^"]*nan', page.source)


def test_missing_images_leave_scores_and_say_so(evaluated, data):
    data.rename(data.with_name("elsewhere"))
    page = Page(write_report(evaluated))
    assert "No picture of case_005 (best): the dataset is not at" in page.text
    assert page.row("case_008")[1] == "0.0"
    assert not any(tag == "image" for tag, _ in page.tags)


def test_masks_that_changed_are_not_shown(evaluated):
    for path in (evaluated / "test").glob("*.nii.gz"):
        like = read_volume(path)
        write_volume(path, np.ones_like(like.voxels), like)
    page = Page(write_report(evaluated))
    assert "are not what was evaluated; evaluate again" in page.text
    assert not any(tag == "image" for tag, _ in page.tags)


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


def test_no_run(tmp_path):
    with pytest.raises(UserError, match=r"is no run: it has no run\.json"):
        write_report(tmp_path)


def test_two_dimensional_cases(tmp_path):
    data = write_dataset(tmp_path / "data", n_test=1, shape=(16, 14))
    run = write_run(tmp_path / "run", data, log())
    write_volume(run / "test" / "case_005.nii.gz", *_mask_and_grid(data / "labelsTs" / "case_005.nii.gz"))
    evaluate(run / "test", data / "labelsTs", run / "test")
    page = Page(write_report(run))
    assert "The only one: case_005, Dice 100.0 %" in page.text
    assert sum(tag == "image" for tag, _ in page.tags) == 1
    assert "Slice" not in page.text


def _mask_and_grid(path: Path):
    volume = read_volume(path)
    return volume.voxels, volume


def test_ticks_are_round_and_cover():
    assert curves.ticks(0, 0.83) == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    assert curves.ticks(0, 100) == [0, 25, 50, 75, 100]
    assert curves.ticks(0, 30900, 6, inside=True) == [0, 10000, 20000, 30000]
    assert curves.ticks(-0.3, 0.3)[0] >= -0.3


def test_long_curves_are_thinned_by_averaging():
    points = [(n, math.nan if n % 2 else 1.0) for n in range(3000)]
    drawn = curves.thin(points)
    assert len(drawn) == curves.POINTS
    assert drawn[0] == (9, 1.0)
    assert curves.thin(points[:5]) == points[:5]
