"""The tutorial docs/own_scans.md, from raw files to masks: its commands, taken from the page, on small files.

The only change is the number of training steps. Raw files are written here as scanners and programs write them.
"""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import nrrd
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from command import call
from crossmatch import formats
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.orientation import put_onto, read_label
from folder_files import decathlon, nnunet
from tiny import write_nifti
from tiny_dicom import write_series

PAGE = (Path(__file__).parents[1] / "docs" / "own_scans.md").read_text(encoding="utf-8")
MOST_COMMANDS = 4
FEW = ["--set", "train.steps=2", "--device", "cpu"]
Truth = dict[str, np.ndarray]  # case -> label in the order of its image as it was stored


def commands(heading: str) -> list[list[str]]:
    """The commands below a heading of the page, as words without `crossmatch`."""
    part = PAGE.split(f"\n### {heading}\n")[1].split("\n### ")[0].split("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```", part, re.M | re.S)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line.startswith("crossmatch ")]


def volume(seed: int, shape: tuple[int, ...], value: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Grey values that show a structure, and its label, not alike under any flip."""
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint8)
    label[tuple(slice(1 + seed % 2, 1 + n // 2) for n in shape)] = value
    return (400 * (label > 0) + rng.integers(0, 90, shape)).astype(np.int16), label


def ct(root: Path) -> Truth:
    """Series of two spacings; labels as dcm2niix stores them, rows the other way round. Dora has no label."""
    truth = {}
    for n, name in enumerate(("anna", "bert", "carl", "dora")):
        image, label = volume(n, (20, 24, 8))
        spacing, step = ((0.8, 0.8), 2.5) if n % 2 else ((1.0, 1.0), 2.0)
        write_series(root / "ct" / "scans" / name, image, spacing=spacing, step=step)
        scan = formats.read(root / "ct" / "scans" / name)
        flipped = scan.affine @ np.array([[1, 0, 0, 0], [0, -1, 0, 23], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        if name != "dora":
            write_nifti(root / "ct" / "labels" / f"{name}.nii.gz", np.ascontiguousarray(label[:, ::-1]), flipped)
            truth[name] = label
    write_series(root / "ct_new" / "zoe", volume(9, (20, 24, 8))[0])
    return truth


def mr(root: Path) -> Truth:
    """One folder a patient; segmentations cover a part of the scan, and number their segments in any order."""
    truth, steps = {}, np.diag([0.9, 0.9, 1.5])
    header: dict[str, object] = {"space": "left-posterior-superior", "space directions": steps}
    for n, name in enumerate(("anna", "bert", "carl", "zoe")):
        image, label = volume(n, (20, 18, 16), 2)
        label[12:18, 12:16, 10:14] = 1
        folder = root / ("mr_new" if name == "zoe" else "mr") / name
        folder.mkdir(parents=True)
        nrrd.write(str(folder / "mr.nrrd"), image, header)
        if name in ("carl", "zoe"):
            continue
        values = {"tumour": 1, "liver": 2} if n else {"liver": 1, "tumour": 2}  # the names of 1 and 2 in `label`
        names = {1: "tumour", 2: "liver"}
        stored = np.zeros_like(label)
        segments: dict[str, object] = {}
        for k, value in enumerate((2, 1)):
            stored[label == value] = values[names[value]]
            segments |= {f"Segment{k}_ID": f"S{k}", f"Segment{k}_Name": names[value]}
            segments[f"Segment{k}_LabelValue"] = str(values[names[value]])
        part = header | segments | {"space origin": steps @ (1, 1, 1)}
        nrrd.write(str(folder / "Segmentation.seg.nrrd"), stored[1:19, 1:17, 1:15], part)
        truth[name] = np.array([0, 2, 1], np.uint8)[label]  # liver comes first in the first file
    return truth


def brats(root: Path) -> Truth:
    """Four sequences a patient in files of their own."""
    truth = {}
    for n in (1, 2, 3, 900):
        name = f"BraTS_{n:03d}"
        folder = root / ("brats_new" if n == 900 else "brats") / name
        image, label = volume(n, (16, 18, 16), 4)
        label[12:15, 12:15, 10:14], label[12:15, 2:6, 2:6] = 1, 2
        for k, sequence in enumerate(("t1", "t1ce", "t2", "flair")):
            write_nifti(folder / f"{name}_{sequence}.nii.gz", (image + 100 * k).astype(np.int16), np.eye(4))
        if n < 3:
            write_nifti(folder / f"{name}_seg.nii.gz", label, np.eye(4))
            truth[name] = np.where(label == 4, 3, label)
    return truth


def pictures(root: Path, name: str, ending: str, colours: bool, foreground: int, bits: int = 8) -> Truth:
    """images/NAME and masks/NAME.png, and a new picture."""
    truth = {}
    for folder in (f"{name}/images", f"{name}/masks", f"{name}_new"):
        (root / folder).mkdir(parents=True)
    for n, case in enumerate(("anna", "bert", "carl", "dora", "zoe")):
        image, label = volume(n, (24, 20))
        pixels = image.T.astype(np.uint16) * 100 if bits == 16 else (image.T // 4).astype(np.uint8)
        picture = Image.fromarray(np.stack([pixels, pixels // 2, pixels // 3], 2) if colours else pixels)
        picture.save(root / (f"{name}_new" if case == "zoe" else f"{name}/images") / f"{case}{ending}")
        if case not in ("dora", "zoe"):
            Image.fromarray(label.T * np.uint8(foreground)).save(root / name / "masks" / f"{case}.png")
            truth[case] = label
    return truth


def nnunet_folder(root: Path) -> Truth:
    nnunet(root / "Dataset001", {"background": 0, "liver": 1, "tumour": 2})
    labels = root / "Dataset001" / "labelsTr"
    return {path.name[:2]: np.asarray(nib.load(path).dataobj) for path in labels.iterdir()}


def task(root: Path) -> Truth:
    decathlon(root / "Task01")
    labels = root / "Task01" / "labelsTr"
    return {path.name[:9]: np.asarray(nib.load(path).dataobj) for path in labels.iterdir()}


def chest(root: Path) -> Truth:
    """Radiographs of 16 bits, one file a folder, without a place in the patient."""
    truth = {}
    (root / "chest" / "masks").mkdir(parents=True)
    for n, name in enumerate(("anna", "bert", "carl", "zoe")):
        image, label = volume(n, (24, 20))
        (path,) = write_series(root / ("chest_new" if name == "zoe" else "chest/scans") / name, image[:, :, None])
        data = dcmread(path)
        for tag in ("ImageOrientationPatient", "ImagePositionPatient", "RescaleSlope", "RescaleIntercept"):
            delattr(data, tag)
        data.Modality = "DX"
        data.save_as(path)
        if name in ("anna", "bert"):
            Image.fromarray(label.T * np.uint8(255)).save(root / "chest" / "masks" / f"{name}.png")
            truth[name] = label
    return truth


class Example(NamedTuple):
    """An example of the page: what writes its raw files, and what must come out."""

    write: Callable[[Path], Truth]
    labels: tuple[str, ...]  # without background
    masks: tuple[str, ...]


EXAMPLES = {
    "CT as DICOM series, labels as NIfTI": Example(ct, ("liver",), ("zoe.seg.dcm",)),
    "MR as NRRD, segmentations of 3D Slicer": Example(mr, ("liver", "tumour"), ("zoe.nrrd",)),
    "Four MR sequences, labels 0, 1, 2, 4": Example(brats, ("necrosis", "edema", "enhancing"), ("BraTS_900.nii.gz",)),
    "Photographs as JPEG, masks as PNG of 0 and 255": Example(
        lambda root: pictures(root, "photos", ".jpg", True, 255), ("mole",), ("zoe.png",)
    ),
    "X-rays as PNG of 16 bits": Example(
        lambda root: pictures(root, "xrays", ".png", False, 1, bits=16), ("lung",), ("zoe.png",)
    ),
    "A folder made for nnU-Net": Example(nnunet_folder, ("liver", "tumour"), ("p5.nii.gz",)),
    "A task of the Medical Segmentation Decathlon": Example(task, ("edema", "tumour"), ("BRATS_900.nii.gz",)),
    "X-rays as DICOM": Example(chest, ("label_1",), ("zoe.png",)),
}


def test_every_example_of_the_page_is_here() -> None:
    assert re.findall(r"^### (.*)$", PAGE.split("\n## 7. ")[1], re.M) == list(EXAMPLES)


@pytest.mark.parametrize("heading", EXAMPLES)
def test_from_raw_files_to_masks(
    heading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "DICOM series" in heading:
        pytest.importorskip("highdicom")
    example, steps = EXAMPLES[heading], commands(heading)
    assert 3 <= len(steps) <= MOST_COMMANDS
    truth = example.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    for words in steps:
        code, out, err = call(capsys, *words, *(FEW if words[0] == "train" else []))
        assert code == 0, (words, out, err)
    data, (source, masks) = Path(steps[0][3]), map(Path, steps[-1][2:4])

    dataset = open_dataset(data)
    assert tuple(dataset.labels) == ("background", *example.labels)
    assert {case.id for case in dataset.cases if case.split != "test" and case.label is not None} == set(truth)
    for case in dataset.cases:
        if case.id in truth:
            image = formats.read_channels(case.images)[0]
            np.testing.assert_array_equal(read_label(case.label, image, dataset.drawn).voxels, truth[case.id])

    assert sorted(path.name for path in masks.iterdir() if path.name != "prediction.json") == sorted(example.masks)
    for name in example.masks:
        scan = _scan(source, str(formats.stem(name)))
        mask = formats.read_label(masks / name, scan)
        assert mask.shape == scan.shape
        assert set(np.unique(mask.voxels)) <= set(dataset.labels.values())
        if mask.oriented and scan.oriented:
            put_onto(scan, mask, name, "its scan")  # where the scan lies


def _scan(source: Path, case: str) -> formats.Volume:
    """The first channel of a scan that was predicted."""
    found = [*source.glob(f"{case}_0000.*"), *source.glob(f"{case}.*"), *source.glob(f"{case}/*mr.nrrd")]
    found += [*source.glob(f"{case}/{case}_t1.nii.gz"), *source.glob(case)]
    return formats.read_channels(found[:1])[0]
