"""The importer of ISIC-2018: what is kept, the two protocols and their lists, and every mistake in its own words."""

import hashlib
import json
import re
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossmatch import formats
from crossmatch.dataset.check import load_fingerprint
from crossmatch.errors import UserError
from crossmatch.importers import isic_lists
from crossmatch.importers.isic import import_isic
from crossmatch.importers.isic_lists import drawn, dtpc_lists, standard_lists
from isic_folders import TEST, VALIDATION, inputs, training_names, truths, write_isic, write_pair
from refusal import refuse, tree

FIRST, SECOND, *_ = training_names(4)


def test_images_stay_and_masks_become_labels(tmp_path: Path) -> None:
    source, steps, told = write_isic(tmp_path / "src"), [], []
    before = tree(source)
    dataset = import_isic(source, tmp_path / "out", lambda *at: steps.append(at), told.append)
    assert tree(source) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "src"]
    assert steps == [(n, 16) for n in range(1, 17)]
    assert (dataset.name, dataset.channels) == ("isic_official", ("red", "green", "blue"))
    assert json.loads((dataset.root / "dataset.json").read_text())["file_ending"] == ".jpg"
    assert [case.id for case in dataset.split("val")] == list(VALIDATION)
    assert [case.id for case in dataset.split("test")] == list(TEST)
    for case in dataset.cases:
        word = {"train": "Training", "val": "Validation", "test": "Test"}[case.split]
        (image,) = case.images
        assert image.read_bytes() == (inputs(source, word) / f"{case.id}.jpg").read_bytes()
        theirs = np.asarray(Image.open(truths(source, word) / f"{case.id}_segmentation.png"))
        assert np.array_equal(np.asarray(Image.open(case.label)), theirs // 255)
    for name, text in (("ATTRIBUTION.txt", "who made these pictures"), ("LICENSE.txt", "CC")):
        assert (tmp_path / "out" / name).read_text() == text
    assert not list((tmp_path / "out").rglob("*superpixels*"))
    assert any("2590 of 2594 in train, 22 of 26 in train_26_label" in text for text in told)
    assert any("98 of 100 in val, 998 of 1000 in test" in text for text in told)
    assert not any("2016" in text or "2017" in text for text in told)


def test_the_check_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = import_isic(write_isic(tmp_path / "src"), tmp_path / "out")
    monkeypatch.setattr(formats, "read_channels", None)
    assert len(load_fingerprint(dataset).cases) == 8


def test_linked_images_and_their_own_texts(tmp_path: Path) -> None:
    source = write_isic(tmp_path / "src")
    (inputs(source, "Test") / "LICENSE.txt").write_text("another one")
    dataset = import_isic(source, tmp_path / "out", link=True)
    assert {case.images[0].resolve().parent.parent for case in dataset.cases} == {source}
    assert (tmp_path / "out" / "LICENSE_ISIC2018_Task1-2_Test_Input.txt").read_text() == "another one"
    assert (tmp_path / "out" / "LICENSE.txt").read_text() == "CC"


def test_the_lists_are_drawn_by_the_stated_rule() -> None:
    lists = standard_lists()
    assert len(lists["train"]) == len(set(lists["train"])) == 2594
    assert lists["train"] == sorted(lists["train"])
    for count, share in ((26, 0.01), (130, 0.05), (259, 0.1), (519, 0.2)):
        assert count == round(share * 2594)
        assert lists[f"train_{count}_label"] == drawn(lists["train"])[:count]
    assert not {*VALIDATION, *TEST} & set(lists["train"])


def test_the_published_sums_are_those_of_the_lists() -> None:
    folder = package_files("crossmatch.importers") / "splits" / "isic"
    sums = dict(reversed(line.split()) for line in (folder / "sha256.txt").read_text().splitlines())
    assert sums == {
        f"{name}.txt": hashlib.sha256((folder / f"{name}.txt").read_bytes()).hexdigest() for name in lists()
    }


def lists() -> list[str]:
    return ["train", *(f"train_{n}_label" for n in isic_lists.LABELLED_IMAGES)]


def write_dtpc(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Short lists in the form of the public ones, whose sums are then expected."""
    names = training_names(6)
    content = {
        "train.txt": names[:4],
        "val.txt": names[4:],
        "1_16/labeled.txt": names[:1],
        "1_8/labeled.txt": names[1:3],
        "1_4/labeled.txt": names[:3],
    }
    for file, ids in content.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"train/images/{name}.jpg train/masks/{name}.png\n" for name in ids)
        (folder / file).write_text(text)
        entry = (isic_lists.DTPC_FILES[file][0], hashlib.sha256(text.encode()).hexdigest())
        monkeypatch.setitem(isic_lists.DTPC_FILES, file, entry)
    return folder


def test_dtpc_has_its_validation_images_as_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, told = training_names(6), []
    source = write_isic(tmp_path / "src", training=6)
    public = write_dtpc(tmp_path / "lists", monkeypatch)
    dataset = import_isic(source, tmp_path / "out", None, told.append, protocol="isic_dtpc", lists=public)
    assert dataset.name == "isic_dtpc"
    assert [case.id for case in dataset.split("train")] == names[:4]
    assert [case.id for case in dataset.split("test")] == names[4:]
    assert not dataset.split("val")
    assert [case.id for case in dataset.labelled("259")[0]] == names[1:3]
    assert any("validation images are its test images" in text for text in told)
    assert any("4 of other folders are left out" in text for text in told)
    assert "whose validation images are its test images" in (tmp_path / "out" / "dataset.json").read_text()


def test_the_public_lists_are_expected_by_their_sums() -> None:
    """As the issue of the protocol names them."""
    begins = {"train.txt": "e28fcfff51a9", "val.txt": "157c7e6d4aba", "1_16": "870f2f5020a2"}
    begins |= {"1_8": "b72abf6115ec", "1_4": "5bfedf6c5660"}
    assert {file.split("/")[0]: wanted[:12] for file, (_, wanted) in isic_lists.DTPC_FILES.items()} == begins


def test_lists_of_dtpc_with_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    public = write_dtpc(tmp_path, monkeypatch)
    assert len(dtpc_lists(public)["train"]) == 4
    (public / "1_8" / "labeled.txt").write_bytes((public / "1_8" / "labeled.txt").read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(UserError, match=r"1_8/labeled\.txt is not the public list: its SHA-256 begins.*ends of lines"):
        dtpc_lists(public)
    (public / "1_8" / "labeled.txt").unlink()
    with pytest.raises(UserError, match=r"1_8/labeled\.txt cannot be read .*github\.com/eeaesa/DTPC"):
        dtpc_lists(public)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_isic(tmp_path / "src")
    told = refuse(capsys, tmp_path, "import", "isic", source, tmp_path / "out", "--protocol", "isic_dtcp")
    assert "did you mean isic_dtpc?" in told
    assert "--lists" in refuse(capsys, tmp_path, "import", "isic", source, tmp_path / "out", "--protocol", "isic_dtpc")
    assert "leave out --lists" in refuse(
        capsys, tmp_path, "import", "isic", source, tmp_path / "out", "--lists", source
    )
    shown = refuse(capsys, tmp_path, "import", "isic", tmp_path, tmp_path / "out")
    assert "SRC/ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png" in shown


def change(path: Path, turn=None, **how: object) -> None:
    """Write a picture anew, its pixels changed."""
    pixels = np.asarray(Image.open(path)).copy()
    Image.fromarray(turn(pixels) if turn else pixels).save(path, **how)


def some_254(pixels: np.ndarray) -> np.ndarray:
    pixels[5, 5] = 254
    return pixels


MISTAKES = {
    "missing mask": (lambda s: (truths(s) / f"{FIRST}_segmentation.png").unlink(), rf"{FIRST}\.jpg has no mask"),
    "missing image": (lambda s: (inputs(s) / f"{FIRST}.jpg").unlink(), rf"{FIRST}_segmentation\.png has no image"),
    "mask with 254": (
        lambda s: change(truths(s) / f"{FIRST}_segmentation.png", some_254),
        rf"{FIRST}_segmentation\.png holds 254, a mask of ISIC holds 0 and 255 alone",
    ),
    "test image without mask": (
        lambda s: (truths(s, "Test") / f"{TEST[1]}_segmentation.png").unlink(),
        rf"Test_Input/{TEST[1]}\.jpg has no mask .*{TEST[1]}_segmentation\.png",
    ),
    "CMYK": (
        lambda s: Image.open(inputs(s) / f"{FIRST}.jpg").convert("CMYK").save(inputs(s) / f"{FIRST}.jpg"),
        rf"{FIRST}\.jpg has CMYK colours",
    ),
    "grey": (
        lambda s: Image.open(inputs(s) / f"{FIRST}.jpg").convert("L").save(inputs(s) / f"{FIRST}.jpg"),
        rf"{FIRST}\.jpg holds 1 channel, dataset\.json names 3",
    ),
    "truncated": (
        lambda s: (inputs(s) / f"{FIRST}.jpg").write_bytes((inputs(s) / f"{FIRST}.jpg").read_bytes()[:-200]),
        rf"src/.*{FIRST}\.jpg cannot be read: it is truncated",
    ),
    "another size": (
        lambda s: change(truths(s) / f"{FIRST}_segmentation.png", lambda pixels: pixels[1:]),
        rf"{FIRST}_segmentation\.png has 18 x 13 pixels, its image 18 x 14",
    ),
    "turned by a quarter": (
        lambda s: change(inputs(s) / f"{FIRST}.jpg", exif=turned(6)),
        rf"{FIRST}\.jpg has a note that turns it \(EXIF orientation 6\), .*_segmentation\.png has another or none",
    ),
    "turned upside down": (
        lambda s: change(inputs(s) / f"{FIRST}.jpg", exif=turned(3)),
        rf"{FIRST}\.jpg has a note that turns it \(EXIF orientation 3\)",
    ),
    "one id in two folders": (lambda s: write_pair(s, "Test", FIRST), rf"{FIRST} lies in two folders"),
}


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    source, (mistake, message) = write_isic(tmp_path / "src"), MISTAKES[name]
    mistake(source)
    with pytest.raises(UserError, match=message) as error:
        import_isic(source, tmp_path / "out")
    assert ".crossmatch-" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_all_mistakes_are_named_together(tmp_path: Path) -> None:
    source = write_isic(tmp_path / "src")
    one, other = sorted((FIRST, SECOND))
    for name in (one, other):
        change(truths(source) / f"{name}_segmentation.png", some_254)
    with pytest.raises(UserError, match=rf"{one}.* holds 254.*; .*{other}.* holds 254.*nothing was written"):
        import_isic(source, tmp_path / "out")


@pytest.mark.parametrize(("value", "said"), [(0, "it shows no lesion"), (255, "all of it is lesion")])
def test_a_mask_of_one_colour_is_told(value: int, said: str, tmp_path: Path) -> None:
    source, told = write_isic(tmp_path / "src"), []
    change(truths(source) / f"{FIRST}_segmentation.png", lambda pixels: np.full_like(pixels, value))
    import_isic(source, tmp_path / "out", None, told.append)
    assert any(re.search(rf"{FIRST}_segmentation\.png is of one colour: {said}", text) for text in told)


def test_folders_without_masks(tmp_path: Path) -> None:
    """Test images without any mask can be predicted; validation images cannot be validated on."""
    source, told = write_isic(tmp_path / "src"), []
    for word in ("Validation", "Test"):
        for path in truths(source, word).iterdir():
            path.unlink()
        truths(source, word).rmdir()
    dataset = import_isic(source, tmp_path / "out", None, told.append)
    assert not dataset.split("val")
    assert [case.label for case in dataset.split("test")] == [None, None]
    assert any("there is no validation" in text for text in told)
    assert any("can be predicted, but not evaluated" in text for text in told)


def test_images_that_are_not_of_the_challenge_are_told(tmp_path: Path) -> None:
    source, told = write_isic(tmp_path / "src"), []
    write_pair(source, "Training", "ISIC_9999999")
    (inputs(source) / "notes.csv").write_text("mine")
    dataset = import_isic(source, tmp_path / "out", None, told.append)
    assert "ISIC_9999999" not in [case.id for case in dataset.cases]
    assert any("not of the challenge's 2,594: 1 (ISIC_9999999)" in text for text in told)
    assert any("not used: notes.csv" in text for text in told)
    (tmp_path / "none").mkdir()
    write_pair(tmp_path / "none", "Training", "ISIC_9999999")
    with pytest.raises(UserError, match="None of the 2594 training images is there"):
        import_isic(tmp_path / "none", tmp_path / "other")
