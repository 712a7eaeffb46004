"""Grouping of what `predict` is pointed at into cases: names, channels, one file or a folder, mistakes."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from command import call
from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.inference.inputs import group_channels
from crossmatch.inference.predict import Options, predict
from crossmatch.inference.rank import rank
from tiny import write_dataset
from tiny_dicom import write_contours, write_series
from untrained import untrained_run

ONE, TWO = ("CT",), ("t1", "flair")


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    folder.mkdir(exist_ok=True)
    return folder


def test_a_folder_of_one_channel(tmp_path: Path) -> None:
    folder = touch(tmp_path, "b_0000.nii.gz", "a.nii", "scan_0007.nii.gz", ".hidden.nii.gz", "notes.txt")
    (folder / "sub").mkdir()
    assert group_channels(folder, ONE) == {
        "a": (folder / "a.nii",),
        "b": (folder / "b_0000.nii.gz",),
        "scan_0007": (folder / "scan_0007.nii.gz",),  # a number of the scan: channel 7 of 1 makes no sense
    }


def test_channels_in_order(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a_0001.nii.gz", "a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz")
    both = {name: (folder / f"{name}_0000.nii.gz", folder / f"{name}_0001.nii.gz") for name in "ab"}
    assert group_channels(folder, TWO) == both
    assert group_channels(folder / "b_0001.nii.gz", TWO) == {"b": both["b"]}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("C0", "C1"), None),
        (("c0", "c1"), None),
        (("C1", "C0"), "refused"),
        (("C1", "other"), "refused"),
        (("other", "C1"), "dataset.json names the channels other, C1, and the network takes C0, C1: they are taken"),
        ((), "nobody knows whether the channels have the run's order: "),
    ],
)
def test_a_dataset_json_says_which_channel_is_which(
    tmp_path: Path, names: tuple[str, ...], told: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the folder of the scans, or of a dataset that is ranked."""
    run = untrained_run(tmp_path / "run", write_dataset(tmp_path / "data", channels=2, n_train=2))
    other = write_dataset(tmp_path / "other", channels=2, n_train=2, unlabelled=1, n_val=0, subsets=())
    described = json.loads((other / "dataset.json").read_text())
    described["channel_names"] = {str(number): name for number, name in enumerate(names)}
    (other / "dataset.json").write_text(json.dumps(described))
    warnings: list[str] = []
    if told == "refused":
        refusal = r"in this order: copy the scans .* CASE_0000 for C0, CASE_0001 for C1; or correct channel_names"
        for source in (other / "imagesTs", other / "imagesTs" / "case_003_0001.nii.gz"):
            with pytest.raises(UserError, match=refusal):
                predict(run.folder, source, tmp_path / "masks")
        assert call(capsys, "rank", run.folder, other)[0] == 2
        assert not (run.folder / "rank.csv").exists()
    else:
        predict(run.folder, other / "imagesTs", tmp_path / "masks", warn=warnings.append)
        assert [told in each for each in warnings] == [True] if told else warnings == []
        if names:
            assert rank(run.folder, other, progress=False, warn=warnings.append)
            assert len(warnings) == (2 if told else 0)


def test_case_numbers_of_four_digits_get_one_rule_or_none(tmp_path: Path) -> None:
    """liver_0000 would lose its number, as if it were a channel, and liver_0001 keep it."""
    folder = touch(tmp_path / "a", "liver_0000.nii.gz", "liver_0001.nii.gz", "liver_0002.nii.gz", "b_0000.nii.gz")
    told = r"has liver_0000, liver_0001, liver_0002: .*rename the files to liver_0000_0000, liver_0001_0000"
    for source in (folder, folder / "liver_0000.nii.gz", folder / "liver_0002.nii.gz"):
        with pytest.raises(UserError, match=told):
            group_channels(source, ONE)
    assert list(group_channels(folder / "b_0000.nii.gz", ONE)) == ["b"]
    renamed = touch(tmp_path / "b", *(f"liver_000{k}_0000.nii.gz" for k in range(3)))
    assert list(group_channels(renamed, ONE)) == ["liver_0000", "liver_0001", "liver_0002"]
    assert list(group_channels(touch(tmp_path / "c", "liver_0001.nii.gz", "liver_0002.nii.gz"), ONE)) == [
        "liver_0001",
        "liver_0002",
    ]


def test_one_file_whatever_lies_beside_it(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a.nii.gz", "a_0000.nii.gz", "b.nii", "b.nii.gz", ".c.nii.gz")
    assert group_channels(folder / "a.nii.gz", ONE) == {"a": (folder / "a.nii.gz",)}
    assert group_channels(folder / "a_0000.nii.gz", ONE) == {"a": (folder / "a_0000.nii.gz",)}
    assert group_channels(folder / ".c.nii.gz", ONE) == {".c": (folder / ".c.nii.gz",)}
    other = touch(tmp_path / "two", "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii", "b_0000.nii.gz")
    assert list(group_channels(other / "a_0000.nii.gz", TWO)) == ["a"]


def test_a_folder_for_each_patient(tmp_path: Path) -> None:
    """As in training: channels by words, labels passed over."""
    folder = touch(tmp_path / "one", "zoe/ct.nii.gz", "zoe/seg.nii.gz", "yan/ct.nrrd")
    assert group_channels(folder, ONE) == {"yan": (folder / "yan/ct.nrrd",), "zoe": (folder / "zoe/ct.nii.gz",)}
    names = [f"{case}/{case}_{what}.nii.gz" for case in ("b_1", "b_2") for what in ("flair", "t1", "t2", "seg")]
    folder = touch(tmp_path / "two", *names)
    assert group_channels(folder, TWO) == {
        case: tuple(folder / case / f"{case}_{channel}.nii.gz" for channel in TWO) for case in ("b_1", "b_2")
    }
    alone = touch(tmp_path / "three", "zoe_T1.nii.gz", "zoe_Flair.nii.gz")
    assert group_channels(alone, TWO) == {"zoe": (alone / "zoe_T1.nii.gz", alone / "zoe_Flair.nii.gz")}
    (folder / "b_1/b_1_t1.nii.gz").unlink()
    with pytest.raises(UserError, match=r"first: b_1 lacks t1: it has .*The network takes t1, flair: add or rename"):
        group_channels(folder, TWO)


def test_mistakes(tmp_path: Path) -> None:
    folder = touch(tmp_path / "in", "a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz", "picture.gif")
    for source, names, told in (
        (tmp_path / "none", ONE, "none does not exist"),
        (folder / "picture.gif", ONE, r"picture\.gif is no scan by its name"),
        (touch(tmp_path / "empty"), ONE, "empty holds no image"),
        (folder, TWO, r"takes 2 channels a case \(CASE_0000 to CASE_0001\), but a in .*in have others"),
        (folder, ("a", "b", "c"), "but a, b in"),
        (
            touch(tmp_path / "grey", "Anna 1.nii.gz"),
            ("red", "green"),
            r"\(red, green\), and one of them is in no file name",
        ),
        (touch(tmp_path / "same", "a.nii", "a_0000.nii.gz"), ONE, "are both channel 0 of a"),
    ):
        with pytest.raises(UserError, match=told):
            group_channels(source, names)


def test_labels_beside_their_scans_are_passed_over_and_named(tmp_path: Path) -> None:
    """A name that says label is one only where the scan of that name lies there, too."""
    folder = touch(tmp_path, "anna.nii.gz", "anna_seg.nii.gz", "b_0000.nii.gz", "mask_b.nii", "seg_only.nii.gz")
    told: list[str] = []
    assert list(group_channels(folder, ONE, told.append)) == ["anna", "b", "seg_only"]
    assert told == ["labels by their names are passed over: anna_seg, mask_b"]
    assert list(group_channels(folder / "anna_seg.nii.gz", ONE)) == ["anna_seg"]  # asked for by its name
    pairs = touch(tmp_path / "two", *(f"a{word}_000{k}.nii.gz" for word in ("", "_seg") for k in (0, 1)))
    assert list(group_channels(pairs, TWO, told.append)) == ["a"]


def test_scans_that_fail_are_named_together(tmp_path: Path) -> None:
    """By their headers, before anything is computed; by their voxels, when all others have their masks."""
    data = write_dataset(tmp_path / "data", n_test=4)
    run = untrained_run(tmp_path / "run", data).folder
    scans = sorted((data / "imagesTs").iterdir())
    for path in (scans[0], scans[2]):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError) as caught:
        predict(run, data / "imagesTs", tmp_path / "masks")
    told = str(caught.value)
    assert told.startswith("2 of 4 scans cannot be used. The others have their masks. ")
    assert scans[0].name in told
    assert scans[2].name in told
    assert len(list((tmp_path / "masks").glob("*.nii.gz"))) == 2
    for path in (scans[0], scans[2]):
        path.write_bytes(b"no scan")
    with pytest.raises(
        UserError, match=r"2 of 4 scans cannot be used\. Nothing was predicted\. .* cannot be read.* cannot"
    ):
        predict(run, data / "imagesTs", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_scans_in_deeper_folders_are_named(tmp_path: Path) -> None:
    """A folder that holds scans itself is read alone."""
    folder, told = touch(tmp_path, "top.nii.gz", "sub/inner.nii.gz", "sub/n3/ct.nii", "sub/notes.txt"), list[str]()
    assert list(group_channels(folder, ONE, told.append)) == ["top"]
    unclaimed, text = told
    assert unclaimed.endswith("not used, as they are no scans of a known format: sub/notes.txt")
    assert text.startswith("in folders below ")
    assert "sub/inner.nii.gz, sub/n3/ct.nii; give each" in text


def test_what_crossmatch_wrote_below_the_scans_is_no_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a folder for each patient: earlier masks, a run with masks, a dataset, an exported model."""
    run = untrained_run(tmp_path / "run", write_dataset(tmp_path / "data", n_test=2)).folder
    scans, new = tmp_path / "scans", write_dataset(tmp_path / "new", n_test=2, seed=9)
    for path, name in zip(sorted((new / "imagesTs").iterdir()), ("anna", "bert"), strict=True):
        (touch(tmp_path, f"scans/{name}/mr.nii.gz") / f"scans/{name}/mr.nii.gz").write_bytes(path.read_bytes())
    for target in (scans / "out", scans / "out", scans / "out2", scans, scans):  # again goes on with the same scans
        made = predict(run, scans, target, Options(probabilities=True))
        assert [path.relative_to(target).as_posix() for path in made] == ["anna.nii.gz", "bert.nii.gz"]
    touch(scans / "model", "model.json", "SHA256SUMS", "masks/anna.nii.gz")
    for name in ("run", "data"):
        shutil.copytree(tmp_path / name, scans / name)
    write_series(scans / "data" / "imagesTr" / "zoe_0000", np.arange(60, dtype=np.int16).reshape(5, 4, 3))
    predict(run, tmp_path / "data" / "imagesTs", scans / "run" / "test")
    told: list[str] = []
    assert list(group_channels(scans, ONE, told.append)) == ["anna", "bert"]
    assert told[1:] == [
        f"in {scans}: not used: anna.nii.gz, bert.nii.gz, probabilities, out, out2, which hold predictions; "
        "data, which holds a dataset (name it, or its imagesTr, to use its scans); "
        "model, which holds an exported model; run, which holds a run"
    ]
    ended = call(capsys, "rank", run, scans, "--out", tmp_path / "next")
    assert ended[0] == 0
    ranked = (tmp_path / "next" / "rank.csv").read_text().splitlines()[1:]
    assert sorted(line.split(",")[1] for line in ranked) == ["anna", "bert"]
    with pytest.raises(UserError, match="out holds no image"):
        predict(run, scans / "out", tmp_path / "masks of masks")
    assert len(predict(run, scans / "out" / "anna.nii.gz", tmp_path / "asked for")) == 1


def test_masks_beside_flat_scans_are_not_segmented_again(tmp_path: Path) -> None:
    """Also where the note on them cannot be read, or was never finished."""
    folder, told = touch(tmp_path, "a.nii", "b.nii", "masks/prediction.json", "masks/a.nii"), list[str]()
    assert list(group_channels(folder, ONE, told.append)) == ["a", "b"]
    assert told == [f"in {folder}: not used: masks, which holds predictions"]
    (folder / "prediction.json").write_text('{"scans": {"b": []}}')  # masks of other scans were put beside these
    assert list(group_channels(folder, ONE)) == ["a"]
    (folder / "prediction.json").write_text("{")
    with pytest.raises(UserError, match="holds no image"):
        group_channels(folder, ONE)


def test_files_that_give_no_mask_are_named(tmp_path: Path) -> None:
    strange = ("bert.mgz", "carl.nii.bz2", "dora.nii.gz.part", "emil.h5")
    folder, told = touch(tmp_path / "in", "anna.nii.gz", "zoe.hdr", "zoe.img", ".DS_Store", *strange), list[str]()
    (folder / "lost").symlink_to(tmp_path / "nowhere")
    assert list(group_channels(folder, ONE, told.append)) == ["anna", "zoe"]
    assert told == [
        f"in {folder}: not used, as they are no scans of a known format: "
        "bert.mgz, carl.nii.bz2, dora.nii.gz.part, emil.h5, lost"
    ]
    told.clear()
    names = ("zoe/t1.nii.gz", "zoe/flair.nii.gz", "zoe/t2.nii.gz", "zoe/seg.nii.gz", "zoe/zoe.txt")
    assert list(group_channels(touch(tmp_path / "two", *names), TWO, told.append)) == ["zoe"]
    assert [text.rpartition(": ")[2] for text in told] == ["zoe/zoe.txt", "zoe/seg.nii.gz, zoe/t2.nii.gz"]


def test_a_link_to_a_series_is_a_case_and_a_circle_of_links_ends(tmp_path: Path) -> None:
    for place in ("scans/anna", "archive/zoe"):
        write_series(tmp_path / place, np.arange(60, dtype=np.int16).reshape(5, 4, 3))
    scans, told = tmp_path / "scans", list[str]()
    (scans / "a link").symlink_to(scans / "anna")
    (scans / "circle").symlink_to(scans)
    (scans / "zoe").symlink_to(tmp_path / "archive/zoe")
    assert group_channels(scans, ONE, told.append) == {"anna": (scans / "anna",), "zoe": (scans / "zoe",)}
    assert told == []
    write_contours(scans / "anna" / "RS.dcm")
    assert list(group_channels(scans, ONE, told.append)) == ["anna", "zoe"]
    (contours,) = told
    assert contours.startswith(f"in {scans}: contours (RTSTRUCT) are not read")
    assert "anna/RS.dcm" in contours


def test_what_is_strange_or_old_is_told_also_where_a_scan_fails(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", n_test=3)
    run, scans, told = untrained_run(tmp_path / "run", data).folder, data / "imagesTs", list[str]()
    predict(run, scans, tmp_path / "masks", Options(quality=True))
    first, second, last = sorted(scans.iterdir())
    image = nib.load(first)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj, np.float32) * 1e6, image.affine, image.header), second)
    last.write_bytes(last.read_bytes()[:-300])
    with pytest.raises(UserError, match=last.name):
        predict(run, scans, tmp_path / "masks", Options(), warn=told.append)
    text = " ".join(told)
    assert "with other grey values than the training knows" in text
    assert "estimated quality in quality.csv is of earlier masks: " in text
    assert str(formats.stem(second)).removesuffix("_0000") in text
