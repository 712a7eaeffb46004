"""What is wrong with a folder of scans is said in one paragraph, with exit code 2; the sound cases are imported."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command import call
from crossmatch import formats
from crossmatch.dataset.dataset import open_dataset
from crossmatch.importers.proposal import propose_import
from crossmatch.importers.wishes import Wishes
from folder_files import SHAPE, label, label_voxels, nnunet, pairs, photographs, scan
from refusal import refuse
from tiny import write_nifti
from tiny_dicom import write_contours, write_series


def _cut(source: Path) -> None:
    path = source / "images" / "bert.nii.gz"
    path.write_bytes(path.read_bytes()[:90])


def _nan(source: Path) -> None:
    voxels = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    voxels[0, 0, 0] = np.nan
    write_nifti(source / "images" / "bert.nii.gz", voxels)


def _two_endings(source: Path) -> None:
    (source / "images" / "bert.nii").write_bytes((source / "images" / "bert.nii.gz").read_bytes())


def _case_only(source: Path) -> None:
    scan(source / "images" / "BERT.nii.gz")
    (source / "masks" / "bert_mask.nii.gz").unlink()


def _flat_and_deep(source: Path) -> None:
    scan(source / "images" / "flat.nii.gz", shape=(12, 10))


MISTAKES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "mask of another size": (
        lambda source: label(source / "masks" / "bert_mask.nii.gz", shape=(12, 11, 4)),
        "bert: ",
        "masks/bert_mask.nii.gz lies on another grid than",
    ),
    "values outside": (
        lambda source: label(source / "masks" / "bert_mask.nii.gz", (1, 77)),
        "bert: ",
        "masks/bert_mask.nii.gz holds the label values 77; labels are 0 background, 1 label_1: correct the file",
    ),
    "no whole number": (
        lambda source: write_nifti(source / "masks" / "bert_mask.nii.gz", label_voxels((1,)) * np.float32(0.5)),
        "bert: ",
        "holds 0.5, which is no whole number",
    ),
    "two files for one case": (_two_endings, "bert: ", "has two files for one image"),
    "two labels for one case": (
        lambda source: label(source / "masks" / "bert_seg.nii.gz"),
        "bert: ",
        "bert_seg.nii.gz: remove one",
    ),
    "names that differ in case only": (_case_only, "images/BERT.nii.gz: ", "one case name, upper or lower case apart"),
    "a label without an image": (
        lambda source: label(source / "masks" / "dora_mask.nii.gz"),
        "dora_mask.nii.gz: ",
        "is a label without an image of that name",
    ),
    "2D among 3D": (
        _flat_and_deep,
        "flat: ",
        "is 2D, and the 3 labelled cases that are taken are 3D: import it into a dataset of its own, naming the files "
        "with --images",
    ),
    "an image cut short": (_cut, "bert: ", "images/bert.nii.gz cannot be read"),
    "an image that is not finite": (_nan, "bert: ", "images/bert.nii.gz has 1 voxels that are NaN or infinite"),
    "a constant image": (
        lambda source: write_nifti(source / "images" / "bert.nii.gz", np.full(SHAPE, 3, np.int16)),
        "bert: ",
        "images/bert.nii.gz is constant",
    ),
}


@pytest.mark.parametrize(("spoil", "name", "message"), MISTAKES.values(), ids=MISTAKES)
def test_the_rest_goes_on_and_the_bad_ones_are_listed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    name: str,
    message: str,
) -> None:
    source, out = pairs(tmp_path / "src"), tmp_path / "out"
    spoil(source)
    code, _, err = call(capsys, "import", "folder", source, out)
    assert code == 2, err
    told = " ".join(err.split())
    assert told.startswith("Error: 1 left out:") or told.startswith("Error: 2 left out:")
    assert name in told
    assert message in told
    assert "crossmatch-" not in told  # no name of a hidden folder
    assert "accept it with --skip-bad" in told
    assert {"anna", "carl"} <= {case.id for case in open_dataset(out).cases} <= {"anna", "bert", "carl"}
    kept = {path.name.split("_")[0].split(".")[0] for path in out.glob("*Tr/*")}
    assert kept == {case.id for case in open_dataset(out).cases}  # no file of a case that was left out
    code, text, _ = call(capsys, "import", "folder", source, tmp_path / "again", "--skip-bad")
    assert code == 0
    assert message.split()[-1] in text


def _alone(source: Path) -> None:
    shutil.rmtree(source / "masks")


def _in_another_language(source: Path) -> None:
    (source / "images").rename(source / "Bilder")
    (source / "masks").rename(source / "Masken")
    for path in (source / "Masken").iterdir():
        path.rename(path.with_name(path.name.replace("_mask", "")))


def _all_bad(source: Path) -> None:
    for name in ("anna", "bert", "carl"):
        label(source / "masks" / f"{name}_mask.nii.gz", shape=(5, 5, 2))


WHOLE: dict[str, tuple[Callable[[Path], object], list[str], str]] = {
    "no labels": (_alone, [], "no label that can be used was found among 3 cases"),
    "labels in a folder of an unknown word": (
        _in_another_language,
        [],
        "taken for images: Bilder (3), Masken (3). Name",
    ),
    "an empty folder": (lambda s: [shutil.rmtree(s), s.mkdir()], [], "holds no scan (files that end in .nii.gz"),
    "no folder": (lambda s: shutil.rmtree(s), [], "src does not exist: name the folder of the scans"),
    "labels alone": (lambda s: shutil.rmtree(s / "images"), [], "holds no image, only files that are labels"),
    "every case is bad": (_all_bad, [], "no training case with a label is left, so nothing was written"),
    "a share beyond all": (lambda s: None, ["--validation", "1"], "it is a share of the patients with labels"),
    "one labelled patient": (
        lambda s: [path.unlink() for path in (s / "masks").iterdir() if "anna" not in path.name],
        ["--validation", "0.2"],
        "needs two patients all of whose scans have labels, and there are 1",
    ),
    "a fold of no splits": (lambda s: None, ["--fold", "0"], "--fold is for folders made for nnU-Net"),
    "a patient in no name": (lambda s: None, ["--patient", r"(\d+)"], r"finds no patient in the case name anna"),
    "a nested repetition": (lambda s: None, ["--patient", "(a+)+"], "repeats a repetition"),
    "a map of no form": (lambda s: None, ["--map", "255"], '--map "255" is not of the form 255=1'),
    "doubtful values": (
        lambda s: [label(path, (40, 90)) for path in (s / "masks").iterdir()],
        [],
        "hold the values 0, 40, 90, and what they mean cannot be guessed",
    ),
    "damaged dataset.json": (lambda s: (s / "dataset.json").write_text("{"), [], "dataset.json is damaged"),
}


@pytest.mark.parametrize(("spoil", "options", "message"), WHOLE.values(), ids=WHOLE)
def test_what_concerns_the_whole_import_leaves_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    options: list[str],
    message: str,
) -> None:
    source = pairs(tmp_path / "src")
    spoil(source)
    assert message in refuse(capsys, tmp_path, "import", "folder", source, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_target_that_is_there_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = pairs(tmp_path / "src")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    told = refuse(capsys, tmp_path, "import", "folder", source, tmp_path / "out")
    assert "out exists and is not an empty folder" in told


def test_a_dry_run_shows_every_pair_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"case{n:02d}" for n in range(14)]
    source = pairs(tmp_path / "src", names, values=(255,))
    code, text, _ = call(capsys, "import", "folder", source, tmp_path / "out", "--dry-run")
    assert code == 0
    assert all(f"{n}: images/{n}.nii.gz, masks/{n}_mask.nii.gz (train)" in text for n in names)
    assert "14 cases: 14 labelled and 0 unlabelled for training" in text
    assert "255 becomes 1 (--map says otherwise)" in text
    assert [path.name for path in tmp_path.iterdir()] == ["src"]
    code, text, _ = call(capsys, "import", "folder", source, tmp_path / "out", "--names", "255=liver")
    assert code == 0
    assert "and 4 more (--dry-run shows all)" in text
    assert open_dataset(tmp_path / "out").labels == {"background": 0, "liver": 1}


def test_what_is_no_scan_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = pairs(tmp_path / "src")
    (source / "notes.docx").write_text("x")
    (source / ".DS_Store").write_text("x")
    text = call(capsys, "import", "folder", source, tmp_path / "out")[1]
    assert "Not used, as they are no scans of a known format: notes.docx." in text


def test_what_lies_beside_the_slices_of_a_series_is_named(tmp_path: Path) -> None:
    """Contours are often the only labels there are."""
    source, names = tmp_path / "src", ("anna", "bert")
    for name in names:
        write_series(source / "scans" / name, np.random.default_rng(1).integers(0, 99, (12, 10, 4)).astype(np.int16))
    image = formats.read(source / "scans" / "anna")
    formats.write(source / "labels" / "anna.nii.gz", label_voxels((1,)), like=image)
    write_contours(source / "scans" / "bert" / "RS.dcm")
    (source / "scans" / "bert" / "liver.csv").write_text("1,2")
    write_contours(source / "rt" / "RS.dcm")
    proposal = propose_import(source, Wishes())
    assert [case.name for case in proposal.cases] == list(names)
    contours, others = proposal.remarks
    assert "(RTSTRUCT) are not read" in contours
    assert "rt/RS.dcm" in contours
    assert "scans/bert/RS.dcm" in contours
    assert "NIfTI or DICOM SEG" in contours
    assert others == "Not used, as they are no scans of a known format: scans/bert/liver.csv."
    (reason,) = proposal.left_out.values()  # the folder without a slice
    assert "no DICOM image" in reason
    assert "contours (RTSTRUCT) are not read, so they give no label: RS.dcm" in reason


def test_channels_of_an_nnunet_folder_are_not_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = nnunet(tmp_path / "src", {"background": 0, "liver": 1, "tumour": 2})
    told = refuse(capsys, tmp_path, "import", "folder", source, tmp_path / "out", "--channels", "t1")
    assert "--channels is not used here" in told
    stated = json.loads((source / "dataset.json").read_text())
    assert stated["channel_names"] == {"0": "CT"}


def test_masks_of_photographs_that_a_note_turns(tmp_path, capsys):
    """The mask of anna has the note of its photograph, that of bert has not."""
    source, exif = photographs(tmp_path / "src", ["anna", "bert", "carl"]), Image.Exif()
    exif[274] = 3
    for name in ("photos/anna.jpg", "masks/anna.png", "photos/bert.jpg"):
        pixels = np.asarray(Image.open(source / name)).copy()
        Image.fromarray(pixels).save(source / name, exif=exif)
    code, out, err = call(capsys, "import", "folder", source, tmp_path / "data")
    assert code == 2
    told = f"{source}/photos/bert.jpg has a note that turns it (EXIF orientation 3), and {source}/masks/bert.png"
    assert told in " ".join((out + err).split())
    assert {case.id for case in open_dataset(tmp_path / "data").cases} == {"anna", "carl"}
    pixels = np.asarray(Image.open(source / "masks/anna.png"))
    np.testing.assert_array_equal(
        formats.read_label(tmp_path / "data/labelsTr/anna.png").voxels, pixels[::-1, ::-1].T // 255
    )
