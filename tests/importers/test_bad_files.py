"""Files that cannot be used, one each: `import folder` names them, says the way out, and takes the rest.

Exit code 2, one message, no folder half written. Mistakes in names and label values: test_folder_mistakes.py.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import BasicTextSRStorage

from command import call
from crossmatch import formats
from crossmatch.dataset.dataset import open_dataset
from folder_files import photographs
from tiny_dicom import write_series

NAMES = ["anna", "bert", "carl", "dora"]  # the last one has no mask
COLOURS = np.random.default_rng(5).integers(0, 255, (24, 20, 3)).astype(np.uint8)


def _jpeg_mask(source: Path) -> None:
    (source / "masks" / "bert.png").unlink()
    edges = np.pad(np.full((8, 9), 255, np.uint8), ((5, 11), (6, 5)))
    Image.fromarray(edges).resize((20, 24), Image.Resampling.BILINEAR).save(source / "masks" / "bert.jpg", quality=60)


def _truncated(source: Path) -> None:
    whole = (source / "photos" / "bert.jpg").read_bytes()
    (source / "photos" / "bert.jpg").write_bytes(whole[: len(whole) // 2])


def _printed(source: Path) -> None:
    Image.fromarray(COLOURS).convert("CMYK").save(source / "photos" / "bert.jpg")


def _animated(source: Path) -> None:
    (source / "photos" / "bert.jpg").unlink()
    first, second = Image.fromarray(COLOURS), Image.fromarray(COLOURS[::-1].copy())
    first.save(source / "photos" / "bert.png", save_all=True, append_images=[second])


def _bomb(source: Path) -> None:
    (source / "photos" / "bert.jpg").unlink()
    Image.new("1", (30_000, 30_000)).save(source / "photos" / "bert.png")


def _grey(source: Path) -> None:
    Image.fromarray(COLOURS[:, :, 0]).save(source / "photos" / "bert.jpg")


def _small_mask(source: Path) -> None:
    Image.fromarray(np.full((23, 20), 255, np.uint8)).save(source / "masks" / "bert.png")


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a JPEG mask with grey edges": (_jpeg_mask, "masks/bert.jpg is a JPEG"),
    "a truncated JPEG": (_truncated, "photos/bert.jpg cannot be read: it is truncated"),
    "CMYK": (_printed, "photos/bert.jpg has CMYK colours"),
    "an animated PNG": (_animated, "photos/bert.png holds 2 pictures (an animation or a stack)"),
    "a decompression bomb": (_bomb, "photos/bert.png has more than 89,478,485 pixels"),
    "another number of channels": (_grey, "photos/bert.jpg holds 1 channel, dataset.json names 3"),
    "a mask of another size": (_small_mask, "masks/bert.png lies on another grid than its image: shape (20, 23)"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_pictures(mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, message = BAD[mistake]
    source, out = photographs(tmp_path / "raw", NAMES), tmp_path / "out"
    spoil(source)
    code, _, err = call(capsys, "import", "folder", source, out)
    told = " ".join(err.split())
    assert code == 2, told
    assert "Traceback" not in err
    assert told.startswith("Error: 1 left out: - bert: ")
    assert message in told
    assert {case.id for case in open_dataset(out).cases} == {"anna", "carl", "dora"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]
    assert not [path for path in out.rglob("*bert*")]


def test_a_dicom_folder_without_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one series only a report is left."""
    for number, name in enumerate(("anna", "odd")):
        stored = np.random.default_rng(number).integers(0, 99, (6, 5, 3)).astype(np.int16)
        first, *others = write_series(tmp_path / "raw" / "scans" / name, stored)
    for other in others:
        other.unlink()
    report = dcmread(first)
    for tag in ("Rows", "Columns", "PixelData"):
        delattr(report, tag)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    report.save_as(first)
    scan = formats.read(tmp_path / "raw" / "scans" / "anna")
    formats.write(tmp_path / "raw" / "labels" / "anna.nii.gz", (scan.voxels > 40).astype(np.uint8), like=scan)
    code, _, err = call(capsys, "import", "folder", tmp_path / "raw", tmp_path / "out")
    told = " ".join(err.split())
    assert code == 2
    assert "1 left out: - odd: " in told
    assert "odd holds no DICOM image: name the folder in which the files of the series lie" in told
    assert [case.id for case in open_dataset(tmp_path / "out").cases] == ["anna"]
