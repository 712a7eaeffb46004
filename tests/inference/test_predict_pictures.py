"""From pictures in colours to masks, scores and a report, by the commands; and the formats that can be asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command import call
from crossmatch import formats
from crossmatch.recipes.load import load_recipe
from crossmatch.training.fit import fit
from train_tiny import TINY, Quiet

SIZE = (32, 24)  # columns, rows


def write_pictures(root: Path, ending: str = ".jpg", count: int = 4) -> Path:
    """Pictures in colours, red where the lesion is, with masks in PNG; the last two are test cases."""
    rng = np.random.default_rng(0)
    (root / "imagesTr").mkdir(parents=True)
    for name in ("imagesTs", "labelsTr", "labelsTs"):
        (root / name).mkdir()
    described = {"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": {"background": 0, "lesion": 1}}
    (root / "dataset.json").write_text(json.dumps({**described, "file_ending": ending}))
    for n in range(count):
        part = "Tr" if n < count - 2 else "Ts"
        mask = np.zeros(SIZE[::-1], np.uint8)
        mask[4 + n : 14, 5 : 17 + n] = 1
        pixels = rng.integers(60, 90, (*mask.shape, 3)).astype(np.uint8)
        pixels[:, :, 0] += 120 * mask
        Image.fromarray(pixels).save(root / f"images{part}/case_{n}_0000{ending}", quality=95)
        Image.fromarray(mask).save(root / f"labels{part}/case_{n}.png")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_pictures(tmp_path_factory.mktemp("data") / "pictures")
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = [*TINY, "data.labelled=all", "method.name=supervised"]
    fit(load_recipe("phantom", [each for each in settings if "labelled=1" not in each]), root, folder, Quiet())
    return folder


def test_from_pictures_to_masks_scores_and_a_report(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(json.loads((run / "run.json").read_text())["data"]["root"])
    code, _, err = call(capsys, "predict", run, root / "imagesTs", run / "test")
    assert (code, err) == (0, "")
    assert {path.name for path in (run / "test").iterdir()} == {"case_2.png", "case_3.png", "prediction.json"}
    with Image.open(run / "test/case_2.png") as mask:
        assert (mask.size, mask.mode) == (SIZE, "L")
    assert call(capsys, "evaluate", run / "test", root / "labelsTs")[0] == 0
    scores = json.loads((run / "test/summary.json").read_text())
    assert "dice" in json.dumps(scores)
    assert "hd95_mm" not in (run / "test/cases.csv").read_text().splitlines()[1]
    assert call(capsys, "report", run)[0] == 0
    assert "No picture of" not in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("asked", "name"), [("nrrd", "case_2.nrrd"), ("nii.gz", "case_2.nii.gz"), ("png", "case_2.png")]
)
def test_masks_in_the_format_that_is_asked_for(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: str, name: str
) -> None:
    root = Path(json.loads((run / "run.json").read_text())["data"]["root"])
    image = root / "imagesTs/case_2_0000.jpg"
    assert call(capsys, "predict", run, image, tmp_path / "out", "--format", asked, "--probabilities")[0] == 0
    assert formats.read(tmp_path / "out" / name).shape == SIZE
    maps = name.replace(".png", ".nii.gz")
    assert [path.name for path in (tmp_path / "out/probabilities").iterdir()] == [maps]
    before = (tmp_path / "out" / name).stat().st_mtime_ns
    assert call(capsys, "predict", run, image, tmp_path / "out", "--format", asked, "--probabilities")[0] == 0
    assert (tmp_path / "out" / name).stat().st_mtime_ns == before  # kept


def test_formats_that_cannot_be(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(json.loads((run / "run.json").read_text())["data"]["root"])
    image = root / "imagesTs/case_2_0000.jpg"
    code, _, err = call(capsys, "predict", run, image, tmp_path / "out", "--format", "jpg")
    assert code == 2
    assert "Masks cannot be written as jpg: choose one of nii.gz" in " ".join(err.split())
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(tmp_path / "grey.png")
    code, _, err = call(capsys, "predict", run, tmp_path / "grey.png", tmp_path / "out")
    assert code == 2
    assert "grey.png holds 1 channel, but the network takes 3 (R, G, B)" in " ".join(err.split())
    assert not (tmp_path / "out").exists()
