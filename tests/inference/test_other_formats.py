"""A dataset in another format is the same dataset: checked, trained on, predicted and evaluated to the last bit."""

from pathlib import Path

import numpy as np
import pytest

from command import call
from crossmatch import formats
from crossmatch.dataset.check import check
from crossmatch.errors import UserError
from crossmatch.inference.predict import Options, predict
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.logbook import read_metrics
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet
from untrained import untrained_run


def converted(root: Path, target: Path, images: str, labels: str) -> Path:
    """The same dataset with its scans stored otherwise."""
    for path in (path for path in root.rglob("*") if path.is_file()):
        stem, folder = formats.stem(path), target / path.parent.relative_to(root)
        folder.mkdir(parents=True, exist_ok=True)
        if stem is None:
            (folder / path.name).write_bytes(path.read_bytes())
        else:
            volume = formats.read(path)
            ending = images if folder.name.startswith("images") else labels
            formats.write(folder / f"{stem}{ending}", volume.voxels, like=volume)
    return target


@pytest.mark.parametrize("shape", [(16, 14, 4), (20, 18)], ids=["3D", "2D"])
@pytest.mark.parametrize(
    ("images", "labels"), [(".nrrd", ".nrrd"), (".nrrd", ".nii"), (".NII.GZ", ".nii.gz")], ids=lambda ending: ending
)
def test_the_whole_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], images: str, labels: str, shape: tuple[int, ...]
) -> None:
    data = {"plain": write_dataset(tmp_path / "data" / "tiny", shape=shape)}
    data["other"] = converted(data["plain"], tmp_path / "other" / "tiny", images, labels)
    if len(shape) == 3:  # in 2D formats do not agree on a third axis
        assert check(data["plain"]).digest == check(data["other"]).digest
    masks, scores = [], []
    for name, root in data.items():
        fit(load_recipe("phantom", [*TINY, "train.steps=2"]), root, tmp_path / f"run-{name}", Quiet())
        (mask,) = predict(tmp_path / f"run-{name}", root / "imagesTs", tmp_path / name)
        assert mask.name == f"case_005{images.lower() if name == 'other' else '.nii.gz'}"
        masks.append(formats.read(mask))
        assert call(capsys, "evaluate", tmp_path / name, root / "labelsTs")[0] == 0
        scores.append((tmp_path / name / "cases.csv").read_text())
        assert formats.same_grid(masks[-1], formats.read_grid(root / "labelsTs" / f"case_005{_ending(root)}"))
    assert read_metrics(tmp_path / "run-plain/metrics.jsonl") == read_metrics(tmp_path / "run-other/metrics.jsonl")
    np.testing.assert_array_equal(masks[0].voxels, masks[1].voxels)
    assert scores[0] == scores[1]
    code, out, _ = call(capsys, "evaluate", tmp_path / "other", data["plain"] / "labelsTs", "--out", tmp_path / "cross")
    assert (code, (tmp_path / "cross" / "cases.csv").read_text()) == (0, scores[0]), out


def _ending(root: Path) -> str:
    return formats.ending(next((root / "labelsTs").iterdir()))


def test_masks_and_probabilities_follow_their_scans(tmp_path: Path) -> None:
    """Each in the format of its scan; a folder with masks of another format is refused."""
    data = write_dataset(tmp_path / "data")
    run = untrained_run(tmp_path / "run", data).folder
    scan = formats.read(data / "imagesTs" / "case_005_0000.nii.gz")
    for name in ("a.nii", "b_0000.nrrd", "C.NRRD"):
        formats.write(tmp_path / "scans" / name, scan.voxels, like=scan)
    out = tmp_path / "out"
    written = predict(run, tmp_path / "scans", out, Options(probabilities=True))
    assert [path.name for path in written] == ["C.nrrd", "a.nii", "b.nrrd"]
    assert sorted(path.name for path in (out / "probabilities").iterdir()) == ["C.nrrd", "a.nii", "b.nrrd"]
    found = [formats.read(path) for path in written]
    assert all(formats.same_grid(scan, mask) and mask.voxels.dtype == np.uint8 for mask in found)
    (tmp_path / "scans" / "a.nii").rename(tmp_path / "scans" / "a.nii.moved")
    formats.write(tmp_path / "scans" / "a.nrrd", scan.voxels, like=scan)
    with pytest.raises(UserError, match=r"out has masks in another format than their scans \(a\.nii, a\.nii\): choose"):
        predict(run, tmp_path / "scans", out, Options(probabilities=True))
