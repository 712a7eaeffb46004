"""Accepted masks become labels: right voxels, right place, atomically, with provenance, and nothing is lost."""

import hashlib
import json
import os
import re
import shlex
import shutil
import threading
import time
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
from reviewable import box, predicted, untrained_run
from served import asked, desk_of, served
from typer.testing import CliRunner

from axis_turns import IDS, ORDERS, reordered
from crossmatch import formats
from crossmatch.cli.app import app
from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.fingerprint import fingerprint_path
from crossmatch.dataset.orientation import read_label
from crossmatch.errors import UserError
from crossmatch.review import accepting, joining
from crossmatch.review.accepting import label_of
from crossmatch.review.desk import ChangedError, Desk
from crossmatch.review.elsewhere import folder_of
from crossmatch.review.joining import subset_after
from crossmatch.review.train_on import last_words
from crossmatch.runs.run import open_run
from tiny import AFFINE, write_dataset, write_nifti

CASE = "unlabelled:case_002"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", n_train=4, unlabelled=3)


@pytest.fixture
def desk(tmp_path: Path, data: Path) -> Desk:
    run = untrained_run(tmp_path / "run", data).folder
    predicted(run, data, {"case_002": 0.4, "case_003": 0.8, "case_005": 0.7})
    return desk_of(run, data)


def drawn(desk: Desk, ident: str = CASE) -> np.ndarray:
    """The prediction of a case with two more voxels, at one corner."""
    with desk.opened(ident) as opened:
        voxels = desk.prediction(opened).copy()
    voxels[0, 0, 0] = 2
    voxels[1, 0, 0] = 1
    return voxels


def accept(desk: Desk, voxels: np.ndarray, ident: str = CASE, may_replace: bool = False):
    return desk.accept(ident, voxels.tobytes(order="F"), desk.version(desk.case(ident)), may_replace)


def test_the_label_lies_on_its_image_and_says_where_it_comes_from(desk, data) -> None:
    voxels = drawn(desk)
    written = accept(desk, voxels)
    assert written.path == data / "labelsTr" / "case_002.nii.gz"
    assert written.corrected == 2
    image, label = nib.load(data / "imagesTr" / "case_002_0000.nii.gz"), nib.load(written.path)
    np.testing.assert_array_equal(np.asarray(label.dataobj), voxels)
    np.testing.assert_array_equal(label.affine, image.affine)
    assert label.header.get_xyzt_units() == image.header.get_xyzt_units()
    assert label.get_data_dtype() == np.uint8
    note = json.loads((data / "review" / "case_002.json").read_text())
    assert note["run"] == "run"
    assert note["prediction"]["checkpoint"] == "last"
    assert note["prediction"]["step"] == 3
    assert note["who"]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$", note["when"])
    assert note["corrected_voxels"] == 2
    assert note["corrected_voxels_by_class"] == {"RV": 1, "MYO": 1}
    assert note["replaced"] is None
    assert note["earlier"] == []
    assert hashlib.sha256(written.path.read_bytes()).hexdigest() == note["sha256"]
    assert [path.name for path in (data / "labelsTr").iterdir() if path.name.startswith(".")] == []
    assert check(data, lambda done, total: None).warnings == ()


def test_the_dataset_then_trains_with_it(desk, data) -> None:
    accept(desk, drawn(desk))
    labelled, unlabelled = open_dataset(data).labelled("all")
    assert [case.id for case in labelled] == ["case_001", "case_002"]
    assert [case.id for case in unlabelled] == ["case_003", "case_004"]


@pytest.mark.parametrize("order", ORDERS[::7], ids=IDS[::7])
def test_turned_axes(tmp_path, order) -> None:
    """The dataset's frame has other axes than this scan: its label has those of the scan."""
    data = write_dataset(tmp_path / "data", n_train=2, n_val=0, n_test=0, unlabelled=1, shape=(8, 7, 5))
    image = data / "imagesTr" / "case_002_0000.nii.gz"
    turned, affine = reordered(np.asarray(nib.load(image).dataobj), AFFINE, order)
    write_nifti(image, turned, affine)
    desk = desk_of(untrained_run(tmp_path / "run", data).folder, data)
    voxels = box(turned.shape, 2)
    accept(desk, voxels)
    label = nib.load(data / "labelsTr" / "case_002.nii.gz")
    np.testing.assert_array_equal(np.asarray(label.dataobj), voxels)
    np.testing.assert_allclose(label.affine, affine, atol=1e-6)
    check(data, lambda done, total: None)


@pytest.mark.parametrize("ending", [".nrrd", ".nii"])
def test_the_label_has_the_dataset_s_format(tmp_path, ending: str) -> None:
    data = write_dataset(tmp_path / "data", n_train=3, n_val=0, n_test=0, unlabelled=1)
    for path in [*(data / "imagesTr").iterdir(), *(data / "labelsTr").iterdir()]:
        volume = formats.read(path)
        formats.write(path.with_name(path.name.replace(".nii.gz", ending)), volume.voxels, like=volume)
        path.unlink()
    desk = desk_of(untrained_run(tmp_path / "run", data).folder, data)
    written = accept(desk, box((16, 14, 4), 2), "unlabelled:case_003")
    assert written.path.name == f"case_003{ending}"
    scan = formats.read(data / "imagesTr" / f"case_003_0000{ending}")
    assert formats.same_grid(formats.read(written.path), scan)


def test_a_label_that_is_there_is_replaced_only_when_asked_for_and_kept(desk, data) -> None:
    first = drawn(desk)
    accept(desk, first)
    with pytest.raises(ChangedError, match=r"has a label, .*case_002.nii.gz. Replace it\? The old one is kept in"):
        accept(desk, box(first.shape, 2))
    np.testing.assert_array_equal(formats.read(data / "labelsTr" / "case_002.nii.gz").voxels, first)
    written = accept(desk, box(first.shape, 2), may_replace=True)
    assert written.replaced == data / "review" / "replaced" / "case_002.1.nii.gz"
    np.testing.assert_array_equal(formats.read(written.replaced).voxels, first)
    np.testing.assert_array_equal(formats.read(written.path).voxels, box(first.shape, 2))
    again = accept(desk, first, may_replace=True)
    assert again.replaced == data / "review" / "replaced" / "case_002.2.nii.gz"
    note = json.loads((data / "review" / "case_002.json").read_text())
    assert [each["replaced"] for each in [*note["earlier"], note]] == [
        None,
        "review/replaced/case_002.1.nii.gz",
        "review/replaced/case_002.2.nii.gz",
    ]


def test_a_case_of_images_ts_has_its_label_in_labels_ts(tmp_path) -> None:
    """The lists of splits say what a case is for; the folder of its image says where its label lies."""
    data = write_dataset(tmp_path / "data", n_train=2, n_val=1, n_test=2)
    (data / "splits" / "val.txt").write_text("case_003\ncase_004\n")
    (data / "splits" / "train.txt").write_text("case_001\ncase_002\ncase_005\n")
    (data / "splits" / "test.txt").unlink()
    (data / "labelsTs" / "case_005.nii.gz").unlink()
    run = untrained_run(tmp_path / "run", data).folder
    predicted(run, data, {"case_004": 0.8, "case_005": 0.8})
    desk = desk_of(run, data)
    with served(desk) as server:
        assert asked(server, "case", id="validation:case_004")[1]["labelled"]
    with pytest.raises(ChangedError, match=r"has a label, .*labelsTs.case_004.nii.gz. Replace it\?"):
        accept(desk, drawn(desk, "validation:case_004"), "validation:case_004")
    written = accept(desk, drawn(desk, "validation:case_004"), "validation:case_004", may_replace=True)
    assert written.path == data / "labelsTs" / "case_004.nii.gz"
    assert written.replaced == data / "review" / "replaced" / "case_004.1.nii.gz"
    training = "unlabelled:case_005"
    desk.decide(training, "rejected", desk.version(desk.case(training)))
    assert "rejected: case_005. Label these by hand, in labelsTs." in last_words(desk)["told"]
    assert accept(desk, drawn(desk, training), training).path == data / "labelsTs" / "case_005.nii.gz"
    assert all(case.label for case in open_dataset(data).cases)


def test_a_label_of_another_format_makes_way(desk, data) -> None:
    scan = formats.read(data / "imagesTr" / "case_002_0000.nii.gz")
    old = data / "labelsTr" / "case_002.seg.nrrd"
    formats.write(data / "labelsTr" / "case_002.nrrd", box(scan.shape, 2), like=scan)
    (data / "labelsTr" / "case_002.nrrd").rename(old)
    written = accept(desk, drawn(desk), may_replace=True)
    assert written.path.name == "case_002.nii.gz"
    assert not old.exists()
    assert (data / "review" / "replaced" / "case_002.1.seg.nrrd").is_file()
    open_dataset(data)


def test_a_label_with_its_voxels_in_a_second_file_is_kept_with_it(desk, data) -> None:
    old, voxels = data / "labelsTr" / "case_002.nhdr", box((16, 14, 4), 2)
    header = {"space": "LPS", "space directions": np.diag([1.5, 1.5, 8.0]), "space origin": [0, 0, 0]}
    nrrd.write(str(old), voxels, header, detached_header=True)
    written = accept(desk, drawn(desk), may_replace=True)
    assert written.replaced == data / "review" / "replaced" / "case_002.1.files" / "case_002.nhdr"
    np.testing.assert_array_equal(formats.read(written.replaced).voxels, voxels)
    assert [path.name for path in (data / "labelsTr").glob("case_002.*")] == ["case_002.nii.gz"]


def test_a_label_that_appeared_meanwhile_is_not_overwritten(desk, data) -> None:
    version, voxels = desk.version(desk.case(CASE)), drawn(desk)
    label = write_nifti(data / "labelsTr" / "case_002.nii.gz", np.ones((16, 14, 4), np.uint8))
    before = label.read_bytes()
    for may_replace in (False, True):  # asked for, but for the state that the page knew
        with pytest.raises(ChangedError, match="has changed since this page opened it"):
            desk.accept(CASE, voxels.tobytes(order="F"), version, may_replace)
    assert label.read_bytes() == before


def test_a_label_that_appears_while_one_is_written_is_kept(desk, data, monkeypatch) -> None:
    real = formats.write

    def slow(path, *arguments, **options):
        real(path, *arguments, **options)
        if "labelsTr" in str(path):
            write_nifti(data / "labelsTr" / "case_002.nii.gz", np.ones((16, 14, 4), np.uint8))

    voxels = drawn(desk)
    monkeypatch.setattr(formats, "write", slow)
    with pytest.raises(ChangedError, match="has a label"):
        accept(desk, voxels)
    assert (formats.read(data / "labelsTr" / "case_002.nii.gz").voxels == 1).all()
    assert not (data / "review" / "case_002.json").exists()


def test_a_link_is_replaced_and_not_what_it_leads_to(desk, data, tmp_path) -> None:
    target = write_nifti(tmp_path / "raw" / "label.nii.gz", np.ones((16, 14, 4), np.uint8))
    (data / "labelsTr" / "case_002.nii.gz").symlink_to(target)
    accept(desk, drawn(desk), may_replace=True)
    assert (formats.read(target).voxels == 1).all()
    assert not (data / "labelsTr" / "case_002.nii.gz").is_symlink()


def test_a_folder_that_cannot_be_written_to_costs_nothing(desk, data, monkeypatch) -> None:
    def full(path):
        raise UserError(f"{path} cannot be written (No space left on device): make room.")

    monkeypatch.setattr(accepting, "written_aside", full)
    voxels = drawn(desk)
    with pytest.raises(UserError, match="No space left"):
        accept(desk, voxels)
    assert label_of(data, "case_002") is None
    assert desk.decisions.state(CASE) == "open"
    np.testing.assert_array_equal(formats.read(desk.draft_of(desk.case(CASE), False)).voxels, voxels)


def test_what_the_page_sends_is_checked(desk) -> None:
    version = desk.version(desk.case(CASE))
    for body, words in ((b"\0" * 5, "sent 5 voxels"), (b"\7" * 16 * 14 * 4, "label 7, which")):
        with pytest.raises(UserError, match=words):
            desk.accept(CASE, body, version, False)


def test_an_empty_mask_without_a_prediction_is_asked_about(desk, data) -> None:
    ident = "unlabelled:case_004"
    with desk.opened(ident) as opened:
        assert desk.prediction(opened) is None
        nothing = np.zeros(opened.grid.shape, np.uint8)
    with pytest.raises(ChangedError, match="case_004 has no prediction, and nothing is drawn") as asked_about:
        accept(desk, nothing, ident)
    assert "replaces" not in str(asked_about.value)
    assert label_of(data, "case_004") is None
    assert desk.decisions.last.get(ident) is None
    assert accept(desk, box(nothing.shape, 2), ident).corrected
    old = label_of(data, "case_004")
    with pytest.raises(ChangedError, match=rf"The mask replaces the label {old}, which is kept in {data / 'review'}"):
        accept(desk, nothing, ident)
    assert not formats.read(accept(desk, nothing, ident, may_replace=True).path).voxels.any()


def test_an_empty_prediction_is_accepted_as_any_other(desk, data) -> None:
    with desk.opened(CASE) as opened:
        nothing = np.zeros(opened.grid.shape, np.uint8)
    assert not formats.read(accept(desk, nothing).path).voxels.any()


def test_validation_labels_are_corrected_only_when_asked_for(desk, data) -> None:
    ident = "validation:case_005"
    old = (data / "labelsTr" / "case_005.nii.gz").read_bytes()
    with pytest.raises(ChangedError, match="has a label"):
        accept(desk, drawn(desk, ident), ident)
    written = accept(desk, drawn(desk, ident), ident, may_replace=True)
    assert written.replaced.read_bytes() == old
    assert last_words(desk)["command"] is None  # nothing new to learn from


def test_a_list_for_the_next_training(tmp_path) -> None:
    """The list that the run learned from stays as it is; the next one has its cases and the accepted ones."""
    data = write_dataset(tmp_path / "data", n_train=4)
    run = untrained_run(tmp_path / "run", data, "data.labelled=2").folder
    desk = desk_of(run, data)
    assert [case.name for case in desk.gathered.cases.values()] == ["case_003", "case_004", "case_005"]
    assert desk.case("unlabelled:case_003").reference is None  # hidden from the run, so from the page
    before = (data / "splits" / "train_2_label.txt").read_text()
    accept(desk, box((16, 14, 4), 2), "unlabelled:case_004", may_replace=True)
    assert (data / "splits" / "train_2_label.txt").read_text() == before
    listed = data / "splits" / "train_2_reviewed_label.txt"
    assert listed.read_text().split() == ["case_001", "case_002", "case_004"]
    words = last_words(desk)
    out = tmp_path / "run_2"
    assert words["command"] == f"crossmatch train --from {run} --set data.labelled=2_reviewed --out {out}"
    labelled, _ = open_dataset(data).labelled("2_reviewed")
    assert [case.id for case in labelled] == ["case_001", "case_002", "case_004"]
    further = untrained_run(out, data, "data.labelled=2_reviewed")
    assert subset_after(further) == "2_reviewed_2"
    assert subset_after(untrained_run(tmp_path / "x", data, "data.labelled=all")) == "all"


def test_the_command_trains_on(desk, tmp_path, monkeypatch) -> None:
    accept(desk, drawn(desk))
    words = last_words(desk)
    assert words["told"] == "1 of 4 cases accepted, 1 of them with corrections."
    command = shlex.split(words["command"])[1:]
    quick = ["train.steps=1", "train.checkpoint_every=1", "train.log_every=1", "train.batch.labelled=2"]
    done = CliRunner().invoke(app, [*command, *[part for each in quick for part in ("--set", each)]])
    assert done.exit_code == 0, done.output
    assert open_run(tmp_path / "run_2").data["labelled"] == ["case_001", "case_002"]


def test_a_new_scan_joins_the_dataset(tmp_path, data) -> None:
    run = untrained_run(tmp_path / "run", data).folder
    scan = write_nifti(tmp_path / "new" / "anna_0000.nii.gz", np.arange(16 * 14 * 4, dtype=np.int16).reshape(16, 14, 4))
    predicted(run, data, {"anna": 0.5}, "fresh", anna=scan)
    assert "new:anna" not in desk_of(run, data).gathered.cases  # its folder was not named
    assert "Start with --scans" in " ".join(desk_of(run, data).gathered.notes)
    desk = desk_of(run, data, scans=(scan.parent,))
    accept(desk, box((16, 14, 4), 2), "new:anna")
    assert (data / "imagesTr" / "anna_0000.nii.gz").read_bytes() == scan.read_bytes()
    assert (data / "splits" / "train.txt").read_text().split()[-1] == "anna"
    assert {case.id: case.label for case in open_dataset(data).split("train")}["anna"] is not None
    check(data, lambda done, total: None)
    accept(desk, box((16, 14, 4), 1), "new:anna", may_replace=True)  # once more
    desk.refresh()
    assert desk.gathered.cases["unlabelled:anna"].mask is not None
    assert "new:anna" not in desk.gathered.cases
    assert desk.decisions.state("unlabelled:anna") == "accepted"


def test_corrections_of_another_scan_of_the_same_name_are_flagged(tmp_path, data) -> None:
    """`new:anna` is whichever scan of that name the page is started with."""
    run, told = untrained_run(tmp_path / "run", data).folder, "Your corrections were drawn on another scan"
    first, second = (tmp_path / name for name in ("first", "second"))
    for seed, folder in enumerate((first, second)):
        voxels = np.random.default_rng(seed).integers(0, 99, (16, 14, 4)).astype(np.int16)
        write_nifti(folder / "anna_0000.nii.gz", voxels)
    desk_of(run, data, scans=(first,)).keep_draft("new:anna", box((16, 14, 4), 2).tobytes(order="F"))
    moved = first.rename(tmp_path / "moved")
    for scans, flagged in ((moved, False), (second, True)):
        desk = desk_of(run, data, scans=(scans,))
        with served(desk) as server:
            facts = asked(server, "case", id="new:anna")[1]
        assert facts["draft"]
        assert (told in " ".join(facts["flags"])) == flagged
    desk.drop_draft("new:anna")
    assert not list((run / "review" / "drafts").iterdir())


@pytest.fixture
def two_channels(tmp_path: Path) -> Desk:
    """A page with a new scan of two files, anna."""
    data = write_dataset(tmp_path / "data", n_train=2, channels=2)
    for channel in range(2):
        voxels = np.random.default_rng(channel).integers(0, 99, (16, 14, 4)).astype(np.int16)
        write_nifti(tmp_path / "new" / f"anna_000{channel}.nii.gz", voxels)
    return desk_of(untrained_run(tmp_path / "run", data).folder, data, scans=(tmp_path / "new",))


def test_a_scan_whose_second_channel_is_written_again_is_not_taken(two_channels, tmp_path) -> None:
    """Not with the mask of a page that showed it as it was; its voxels are read again."""
    desk, second = two_channels, tmp_path / "new" / "anna_0001.nii.gz"
    with desk.opened("new:anna") as opened:
        before = opened.channels[1].voxels
    version, times = desk.version(desk.case("new:anna")), (second.stat().st_atime_ns, second.stat().st_mtime_ns)
    write_nifti(second, before + 1)
    os.utime(second, ns=times)
    with pytest.raises(ChangedError, match="another page or program decided on it, or wrote its scan or label"):
        desk.accept("new:anna", box((16, 14, 4), 2).tobytes(order="F"), version, True)
    assert not list((tmp_path / "data" / "imagesTr").glob("anna*"))
    with desk.opened("new:anna") as opened:
        np.testing.assert_array_equal(opened.channels[1].voxels, before + 1)


def test_a_scan_that_is_written_to_while_it_is_copied_is_not_taken(two_channels, tmp_path, monkeypatch) -> None:
    desk, root, copy = two_channels, tmp_path / "data", joining._copy

    def copied(path: Path, target: Path) -> None:
        copy(path, target)
        with (tmp_path / "new" / "anna_0001.nii.gz").open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(joining, "_copy", copied)
    with pytest.raises(
        UserError, match=r"anna has changed since .* may still be writing its files\. It was not accepted"
    ):
        accept(desk, box((16, 14, 4), 2), "new:anna")
    assert not list((root / "imagesTr").glob("anna*"))
    assert not (root / "review" / joining.JOINING).exists()
    assert "anna" not in (root / "splits" / "train.txt").read_text()
    assert desk.draft_of(desk.case("new:anna"), False).is_file()
    assert desk.decisions.state("new:anna") == "open"


def test_the_half_of_a_scan_that_a_killed_page_has_copied_goes(two_channels, tmp_path) -> None:
    """The next page removes it, and takes both channels then."""
    root, new = tmp_path / "data", tmp_path / "new"
    (root / "imagesTr" / "anna_0000.nii.gz").write_bytes((new / "anna_0000.nii.gz").read_bytes()[:99])
    (root / "review").mkdir(exist_ok=True)
    (root / "review" / joining.JOINING).write_text('["anna_0000.nii.gz", "anna_0001.nii.gz"]')
    desk = desk_of(two_channels.run.folder, root, scans=(new,))
    assert not list((root / "imagesTr").glob("anna*"))
    accept(desk, box((16, 14, 4), 2), "new:anna")
    for name in ("anna_0000.nii.gz", "anna_0001.nii.gz"):
        assert (root / "imagesTr" / name).read_bytes() == (new / name).read_bytes()
    check(root, lambda done, total: None)


def test_a_label_of_two_channels_is_settled_when_both_are_there(two_channels, tmp_path) -> None:
    """A page that was killed after the label: the next one names it in the list and notes it down, once."""
    root = tmp_path / "data"
    accept(two_channels, box((16, 14, 4), 2), "new:anna")
    (two_channels.run.folder / "review" / "decisions.jsonl").unlink()
    (root / "splits" / "train_1_reviewed_label.txt").unlink()
    desk = desk_of(two_channels.run.folder, root, scans=(tmp_path / "new",))
    assert desk.decisions.state("unlabelled:anna") == "accepted"
    assert (root / "splits" / "train_1_reviewed_label.txt").read_text().split() == ["case_001", "anna"]
    lines = (two_channels.run.folder / "review" / "decisions.jsonl").read_text()
    desk_of(two_channels.run.folder, root, scans=(tmp_path / "new",))
    assert (two_channels.run.folder / "review" / "decisions.jsonl").read_text() == lines


def test_a_label_is_settled_by_the_run_that_accepted_it(desk, data, tmp_path) -> None:
    """Another run of the same name, of other weights or of the same, takes no decision of it for its own."""
    accept(desk, drawn(desk))
    first = desk.run.folder
    for place, seed in (("second", 4), ("third", 0)):
        other = untrained_run(tmp_path / place / "run", data, seed=seed).folder
        opened = desk_of(other, data)
        assert opened.decisions.state(CASE) == "open"
        assert last_words(opened)["command"] is None
    (first / "review" / "decisions.jsonl").unlink()  # as a killed page leaves it
    assert desk_of(first, data).decisions.state(CASE) == "accepted"
    (first / "review" / "decisions.jsonl").unlink()
    (tmp_path / "elsewhere").mkdir()
    moved = first.rename(tmp_path / "elsewhere" / "run")
    assert desk_of(moved, data).decisions.state(CASE) == "accepted"


def test_a_note_of_an_earlier_version_is_settled_by_the_weights(desk, data, tmp_path) -> None:
    accept(desk, drawn(desk))
    place = data / "review" / "case_002.json"
    place.write_text(json.dumps({k: v for k, v in json.loads(place.read_text()).items() if k != "run_folder"}))
    other = untrained_run(tmp_path / "second" / "run", data, seed=4).folder
    predicted(other, data, {"case_002": 0.4})
    assert desk_of(other, data).decisions.state(CASE) == "open"
    (desk.run.folder / "review" / "decisions.jsonl").unlink()
    assert desk_of(desk.run.folder, data).decisions.state(CASE) == "accepted"


def test_a_new_scan_of_a_known_name_or_a_test_patient_is_refused(tmp_path, data) -> None:
    run = untrained_run(tmp_path / "run", data).folder
    for name in ("case_003", "case_006_frame02"):  # case_006 is a test case
        write_nifti(tmp_path / "new" / f"{name}_0000.nii.gz", np.ones((16, 14, 4), np.int16))
    desk = desk_of(run, data, scans=(tmp_path / "new",))
    with pytest.raises(UserError, match="has a case case_003 already"):
        accept(desk, box((16, 14, 4), 2), "new:case_003")
    with pytest.raises(UserError, match="whose case case_006 is in the split test"):
        accept(desk, box((16, 14, 4), 2), "new:case_006_frame02")
    (tmp_path / "copy").mkdir()
    test = shutil.copy(data / "imagesTs" / "case_006_0000.nii.gz", tmp_path / "copy")
    copied = desk_of(run, data, scans=(Path(test).parent,))
    with pytest.raises(UserError, match="whose case case_006 is in the split test"):
        accept(copied, box((16, 14, 4), 2), "new:case_006")
    assert len(open_dataset(data).cases) == 6
    assert desk.draft_of(desk.case("new:case_003"), False).is_file()


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ("imagesTs/case_006", "case case_006 of the dataset, which is in the split test: a network must not learn"),
        ("imagesTr/case_005", "case case_005 of the dataset, which is in the split val: a network must not learn"),
        ("imagesTr/case_003", "case case_003 of the dataset, which is in the split train: under two names"),
    ],
)
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])  # a copy, and the same voxels stored otherwise
def test_a_scan_of_the_dataset_under_another_name_is_refused(tmp_path, data, known: str, told: str, ending) -> None:
    """So that no test or validation scan is learned from; whatever the dataset's fingerprint knows."""
    run, path = untrained_run(tmp_path / "run", data).folder, tmp_path / "new" / f"anna_0000{ending}"
    source = data / f"{known}_0000.nii.gz"
    formats.write(path, formats.read(source).voxels.astype(np.float32), like=formats.read(source))
    if ending == ".nii.gz":
        shutil.copy(source, path)
    desk = desk_of(run, data, scans=(path.parent,))
    for _ in range(2):
        with pytest.raises(UserError, match=told):
            accept(desk, box((16, 14, 4), 2), "new:anna")
        fingerprint_path(data).unlink(missing_ok=True)
    assert not list(data.glob("*/anna*"))
    assert "anna" not in (data / "splits" / "train.txt").read_text()
    assert desk.draft_of(desk.case("new:anna"), False).is_file()


def test_elsewhere_and_back(desk, data) -> None:
    with served(desk) as server:
        status, told = asked(server, "elsewhere", body=drawn(desk).tobytes(order="F"), id=CASE)
        assert status == 200
        assert told["image"] == str(data / "imagesTr" / "case_002_0000.nii.gz")
        assert told["commands"]["ITK-SNAP"] == f"itksnap -g {told['image']} -s {told['mask']}"
        assert told["commands"]["3D Slicer"].startswith("Slicer ")
        copy = Path(told["mask"])
        np.testing.assert_array_equal(formats.read(copy).voxels, drawn(desk))
        turned, affine = reordered(box((16, 14, 4), 2), AFFINE, ORDERS[11])  # the program saves other axes
        write_nifti(copy.with_name("Segmentation.nii.gz"), turned, affine)
        os.utime(copy, (1, 1))
        status, answer = asked(server, "back", id=CASE)
        assert status == 200
        np.testing.assert_array_equal(nib.Nifti1Image.from_bytes(answer).get_fdata(), box((16, 14, 4), 2))
        write_nifti(copy, np.full((16, 14, 4), 9, np.uint8))
        status, answer = asked(server, "back", id=CASE)
        assert status == 422
        assert "holds the value 9" in answer["error"]
        assert asked(server, "back", id="unlabelled:case_003")[0] == 422
    assert folder_of(desk.run.folder, "new:../../x").parent == desk.run.folder.absolute() / "review" / "elsewhere"


def test_the_masks_of_the_frame_are_those_of_the_scan(desk) -> None:
    """A mask stored with other axes than its scan is shown on the scan's voxels."""
    mask = desk.case(CASE).mask.path
    volume = formats.read(mask)
    turned, affine = reordered(volume.voxels, volume.affine, ORDERS[11])
    write_nifti(mask, turned, affine)
    with desk.opened(CASE) as opened:
        np.testing.assert_array_equal(desk.prediction(opened), volume.voxels)
        np.testing.assert_array_equal(read_label(mask, opened.grid, None).voxels, volume.voxels)


def test_the_end_of_the_page_waits_for_a_label_that_is_being_written(desk: Desk, data: Path, monkeypatch) -> None:
    """A signal ends the command in another thread than the one that answers the page."""
    begun, write = threading.Event(), formats.write

    def slowly(*given, **more) -> None:
        begun.set()
        time.sleep(0.3)
        write(*given, **more)

    monkeypatch.setattr(formats, "write", slowly)
    thread = threading.Thread(target=lambda: accept(desk, drawn(desk)))
    thread.start()
    assert begun.wait(30)
    desk.close()
    assert not [path.name for path in (data / "labelsTr").iterdir() if path.name.startswith(".")]
    assert (data / "labelsTr" / "case_002.nii.gz").is_file()
    thread.join()
