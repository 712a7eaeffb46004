"""Evaluation end to end on small NIfTI files: what is scored, what is counted, what is refused."""

import csv
import json
import math
from hashlib import sha256
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
from rich.console import Console

from command import call
from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import new_volume
from crossmatch.scoring.evaluate import evaluate, load_evaluation
from crossmatch.scoring.largest import largest_component_of
from crossmatch.scoring.scores import METRICS, THRESHOLDED, ClassScores, Evaluation

GRID = np.diag([2.0, 2.0, 5.0, 1.0])
LABELS = {"background": 0, "ring": 1, "core": 2}


def save(path: Path, voxels: np.ndarray, affine: np.ndarray | None = GRID) -> None:
    formats.write(path, voxels, new_volume(voxels, affine))


def anatomy(shift: int = 0, core: bool = True) -> np.ndarray:
    """A block of 6 x 6 x 3 labelled 1 with a core of 2 x 2 x 1 labelled 2, moved along the first axis."""
    voxels = np.zeros((12, 10, 5), np.uint8)
    voxels[2 + shift : 8 + shift, 2:8, 1:4] = 1
    if core:
        voxels[4 + shift : 6 + shift, 4:6, 2] = 2
    return voxels


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two cases: `a` predicted exactly, `b` one voxel aside; the references lie in a dataset."""
    pred, ref = tmp_path / "predictions", tmp_path / "dataset" / "labelsTs"
    for name, shift in (("a", 0), ("b", 1)):
        save(ref / f"{name}.nii.gz", anatomy())
        save(pred / f"{name}.nii.gz", anatomy(shift))
    description = {"name": "Blocks", "channel_names": {"0": "MRI"}, "labels": LABELS, "file_ending": ".nii.gz"}
    (ref.parent / "dataset.json").write_text(json.dumps(description))
    return pred, ref


def scores(evaluation: Evaluation, case: str, name: str) -> dict[str, float]:
    return next(row.scores for row in evaluation.rows if (row.case, row.name) == (case, name))


def test_values_by_hand(folders: tuple[Path, Path]) -> None:
    calls: list[tuple[int, int]] = []
    found = evaluate(*folders, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]
    assert (found.labels, found.dataset, found.references) == ({"ring": 1, "core": 2}, "Blocks", "labelsTs")
    wanted = {name: float(name in ("dice", "jaccard")) for name in METRICS if name != THRESHOLDED}
    assert scores(found, "a", "core") == wanted
    core = scores(found, "b", "core")  # 2 x 2 pixels moved by one of 2 mm: half of them overlap
    assert (core["dice"], core["jaccard"]) == (0.5, 1 / 3)
    assert (core["hd95_voxels"], core["hd95_mm"]) == (1, 2)
    assert (core["asd_voxels"], core["asd_mm"], core["assd_mm"]) == (0.5, 1, 1)
    dice = found.statistics("core")["dice"]
    assert (dice.mean, dice.cases, dice.undefined) == (0.75, 2, 0)
    assert dice.std == pytest.approx(0.5 / math.sqrt(2))  # of 1 and 0.5, ddof 1
    ring = scores(found, "b", "ring")["dice"]
    assert found.case_means() == {"a": 1, "b": (ring + 0.5) / 2}
    assert found.statistics()["dice"].mean == pytest.approx((1 + (ring + 0.5) / 2) / 2)


def test_undefined_is_counted_never_zero(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, ref = folders
    save(pred / "b.nii.gz", anatomy(core=False))
    found = evaluate(pred, ref, tmp_path / "out")
    assert scores(found, "b", "core")["dice"] == 0
    assert math.isnan(scores(found, "b", "core")["hd95_mm"])
    core = found.statistics("core")["hd95_voxels"]
    assert (core.mean, core.cases, core.undefined) == (0, 1, 1)
    assert math.isnan(core.std)
    mean = found.statistics()["hd95_voxels"]
    assert (mean.cases, mean.undefined) == (2, 1)  # b counts with its defined class
    stored = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [case["hd95_mm"] for case in stored["cases"] if case["case"] == "b"][1] is None
    with (tmp_path / "out" / "cases.csv").open() as file:
        assert next(row for row in csv.DictReader(file) if (row["case"], row["value"]) == ("b", "2"))["asd_mm"] == "nan"


def test_files_and_reading_back(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, ref = folders
    (pred / "prediction.json").write_text('{"run": "tiny", "checkpoint": "last"}')
    (pred / ".crossmatch-1-c.nii.gz").write_bytes(b"")
    save(pred / "a_probabilities.nii.gz", anatomy())
    found = evaluate(pred, ref, tmp_path / "new" / "out")
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == ["cases.csv", "summary.json"]
    with (tmp_path / "new" / "out" / "cases.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["case"], line["class"]) for line in lines] == [(c, n) for c in "ab" for n in ("ring", "core")]
    assert float(lines[3]["dice"]) == 0.5
    text = (tmp_path / "new" / "out" / "summary.json").read_text()
    stored = json.loads(text)
    assert stored["prediction"] == {"run": "tiny", "checkpoint": "last"}
    assert stored["summary"]["classes"]["core"]["dice"]["mean"] == 0.75
    assert stored["versions"]["numpy"] == np.__version__
    assert str(tmp_path) not in text
    assert load_evaluation(tmp_path / "new" / "out") == load_evaluation(tmp_path / "new/out/summary.json") == found


def test_classes_with_other_values_in_the_masks_are_refused(folders: tuple[Path, Path]) -> None:
    """Else the scores of one class would stand under the name of the other."""
    pred, ref = folders
    for labels, fits in (({"background": 0, "ring": 1, "core": 2}, True), ({"ring": 2, "core": 1}, False), ([1], True)):
        (pred / "prediction.json").write_text(json.dumps({"run": "tiny", "data": {"labels": labels}}))
        if fits:
            evaluate(pred, ref)
        else:
            with pytest.raises(
                UserError, match=r"ring, core in the masks of .* have other values than in the references"
            ):
                evaluate(pred, ref)


def test_masks_that_predict_did_not_write_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """One was changed by hand and one put there; nobody knows whether one without a digest was changed."""
    pred, ref = folders
    masks = {"a": {"sha256": sha256((pred / "a.nii.gz").read_bytes()).hexdigest()}}
    record = {"run": "tiny", "scans": {"a": [], "b": []}, "masks": masks}
    (pred / "prediction.json").write_text(json.dumps(record))
    assert evaluate(pred, ref).edited == ()
    save(pred / "a.nii.gz", anatomy(1))
    found = evaluate(pred, ref, tmp_path / "out")
    assert found.edited == ("a",)
    assert found.prediction == {"run": "tiny"}
    assert "masks changed after predict wrote them" in found.of_what
    (note,) = found.notes()
    assert note.startswith("Masks not as predict wrote them (1): a. ")
    assert "predict and evaluate again" in note
    assert load_evaluation(tmp_path / "out") == found
    assert evaluate(pred / "a.nii.gz", ref / "b.nii.gz").edited == ("b",)
    (pred / "prediction.json").write_text(json.dumps(record | {"scans": {"b": []}, "masks": {}}))
    assert evaluate(pred, ref).edited == ("a",)


def test_two_runs_do_not_share_one_folder_of_results(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, ref = folders
    (pred / "prediction.json").write_text('{"run": "first"}')
    evaluate(pred, ref, tmp_path / "results")
    evaluate(pred, ref, tmp_path / "results")
    (pred / "prediction.json").write_text('{"run": "second"}')
    with pytest.raises(UserError, match="already holds the evaluation"):
        evaluate(pred, ref, tmp_path / "results")


def test_a_repeat_replaces_its_results_and_nothing_else(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, ref = folders
    evaluate(pred, ref, pred)
    save(pred / "b.nii.gz", anatomy())
    assert evaluate(pred, ref, pred).statistics()["dice"].mean == 1
    assert load_evaluation(pred).statistics()["dice"].mean == 1
    assert "0.5" not in (pred / "cases.csv").read_text()
    other = pred.rename(tmp_path / "other")
    results = {name: (other / name).read_bytes() for name in ("cases.csv", "summary.json")}
    with pytest.raises(UserError, match=r"already holds the evaluation of predictions against labelsTs.*--out"):
        evaluate(other, ref, other)
    assert {name: (other / name).read_bytes() for name in results} == results
    for name in results:
        theirs = tmp_path / name.removesuffix(".json") / name
        theirs.parent.mkdir()
        theirs.write_text("{}")
        with pytest.raises(UserError, match=f"already holds {name}"):
            evaluate(other, ref, theirs.parent)
        assert [path.name for path in theirs.parent.iterdir()] == [name]
        assert theirs.read_text() == "{}"


def test_results_of_other_folders_of_the_same_names_are_not_replaced(tmp_path: Path, capsys) -> None:
    """Other references of the same masks, and other masks in one folder of results."""
    for run, shift in (("r1", 0), ("r2", 1)):
        save(tmp_path / run / "labels" / "a.nii.gz", anatomy(shift))
        save(tmp_path / run / "masks" / "a.nii.gz", anatomy(shift))
    first, second = tmp_path / "r1", tmp_path / "r2"
    for words in (
        [(first / "masks", run / "labels") for run in (first, second)],
        [(run / "masks", run / "labels", "--out", tmp_path / "results") for run in (first, second)],
    ):
        assert call(capsys, "evaluate", *words[0])[0] == 0
        written = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
        code, _, error = call(capsys, "evaluate", *words[1])
        assert code == 2
        told = f"already holds the evaluation of {first / 'masks'} against {first / 'labels'}: name another folder"
        assert told in " ".join(error.split())
        assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == written


def test_results_of_the_same_folders_are_replaced_wherever_they_lie(tmp_path: Path) -> None:
    """After corrections, moved together, one moved with its files as they were, and by results of earlier versions."""
    place = tmp_path / "place"
    masks, labels, results = place / "masks", place / "data" / "labels", place / "results"
    save(masks / "a.nii.gz", anatomy())
    save(labels / "a.nii.gz", anatomy())
    evaluate(masks, labels, results)
    save(masks / "a.nii.gz", anatomy(1))
    save(labels / "a.nii.gz", anatomy(1))
    evaluate(masks, labels, results)
    moved = place.rename(tmp_path / "moved")
    save(moved / "masks" / "a.nii.gz", anatomy(2))
    (tmp_path / "link").symlink_to(moved)
    evaluate(tmp_path / "link" / "masks", moved / "data" / "labels", tmp_path / "link" / "results")
    alone = (moved / "data").rename(tmp_path / "alone") / "labels"
    save(moved / "masks" / "a.nii.gz", anatomy(1))
    evaluate(moved / "masks", alone, moved / "results")
    (moved / "elsewhere").mkdir()
    alone = alone.rename(moved / "elsewhere" / "labels")
    save(alone / "a.nii.gz", anatomy())
    with pytest.raises(UserError, match="already holds the evaluation of"):
        evaluate(moved / "masks", alone, moved / "results")
    summary = moved / "results" / "summary.json"
    stored = json.loads(summary.read_text())
    summary.write_text(json.dumps({key: stored[key] for key in stored if key != "places"}))
    evaluate(moved / "masks", alone, moved / "results")


def test_table_fits_a_narrow_terminal(folders: tuple[Path, Path]) -> None:
    pred, ref = folders
    save(ref / "c.nii.gz", anatomy())
    save(pred / "c.nii.gz", anatomy(core=False))
    console = Console(width=80)
    with console.capture() as capture:
        console.print(evaluate(pred, ref).table())
    lines = capture.get().splitlines()
    assert "predictions against labelsTs: 3 cases" in lines[0]
    core = next(index for index, line in enumerate(lines) if "core" in line)
    # Dice 1, 0.5, 0; HD95 in voxels 0, 1; in mm 0, 2; one case without distances
    assert lines[core].split() == ["core", "50.00", "44.44", "0.50", "0.25", "0.25", "1.00", "0.50", "0.50", "1"]
    assert lines[core + 1].split() == ["±50.00", "±50.92", "±0.71", "±0.35", "±0.35", "±1.41", "±0.71", "±0.71"]


def test_missing_and_extra_predictions(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, ref = folders
    save(ref / "c.nii.gz", anatomy())
    save(pred / "d.nii.gz", anatomy())
    with pytest.raises(UserError, match=r"no prediction for 1 cases of .*labelsTs: c; .*--partial"):
        evaluate(pred, ref, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = evaluate(pred, ref, tmp_path / "out", partial=True)
    assert (found.missing, found.extra) == (("c",), ("d",))
    assert {row.case for row in found.rows} == {"a", "b"}
    assert [note.split(": ")[1] for note in found.notes()] == ["d", "c"]
    assert load_evaluation(tmp_path / "out") == found


def test_no_prediction_at_all(folders: tuple[Path, Path]) -> None:
    pred, ref = folders
    for name in "ab":
        (pred / f"{name}.nii.gz").rename(pred / f"other_{name}.nii.gz")
    with pytest.raises(UserError, match="no prediction for 2 cases"):
        evaluate(pred, ref, partial=True)


def test_unknown_spacing_and_classes_from_the_references(tmp_path: Path) -> None:
    save(tmp_path / "p.nii", anatomy(1)[:, :, 2] * 100, None)  # 2D, and one file against one
    save(tmp_path / "r.nii.gz", anatomy()[:, :, 2] * 100, None)
    found = evaluate(tmp_path / "p.nii", tmp_path / "r.nii.gz", tmp_path / "out")
    assert found.labels == {"label 100": 100, "label 200": 200}
    assert found.rows[0].case == "r"
    assert found.rows[1].scores["hd95_voxels"] == 1
    assert not any(name.endswith("_mm") for row in found.rows for name in row.scores)
    assert "hd95_mm" not in found.statistics()
    assert load_evaluation(tmp_path / "out") == found
    named = evaluate(tmp_path / "p.nii", tmp_path / "r.nii.gz", labels={"background": 0, "x": 100, "y": 200})
    assert [row.name for row in named.rows] == ["x", "y"]
    with pytest.raises(UserError, match=r"p\.nii holds the label values \[200\], known are 0 background, 100 x"):
        evaluate(tmp_path / "p.nii", tmp_path / "r.nii.gz", labels={"x": 100})


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"x": 1.7}, "x has the value 1.7"),  # 1 was scored as x
        ({"x": -1, "ring": 1, "core": 2}, "x has the value -1"),  # Dice 1, as no voxel has it
        ({"x": True}, "x has the value True"),
        ({"x": 1, "y": 1, "core": 2}, "x, y have the same value"),
        ({"ring": 1, "core": 2, "ignore": 0}, "ignore has the value 0"),  # false positives did not count
    ],
)
def test_values_that_are_no_classes_are_refused(folders: tuple[Path, Path], labels: dict[str, int], told: str) -> None:
    with pytest.raises(UserError, match=told):
        evaluate(*folders, labels=labels)


def test_references_of_negative_values_are_refused(tmp_path: Path) -> None:
    """Their summary.json could not be read back."""
    for folder in ("p", "r"):
        save(tmp_path / folder / "a.nii.gz", anatomy().astype(np.int16) * -1)
    with pytest.raises(UserError, match="label -2 has the value -2"):
        evaluate(tmp_path / "p", tmp_path / "r")


def test_there_is_no_mean_in_mm_where_one_case_does_not_know_its_voxel_size(tmp_path: Path) -> None:
    for folder, shift in (("p", 1), ("r", 0)):
        save(tmp_path / folder / "a.nii.gz", anatomy(shift))
        save(tmp_path / folder / "b.nii.gz", anatomy(shift), None)
    found = evaluate(tmp_path / "p", tmp_path / "r", tmp_path / "out")
    assert [row.scores.get("hd95_mm") for row in found.rows] == [2, 2, None, None]
    assert found.statistics()["hd95_voxels"].cases == 2
    assert not [metric for metric in found.statistics() if metric.endswith("_mm")]  # it was that of one case of two
    assert found.notes() == ["Of unknown voxel size, so there are no means in mm (1): b"]
    assert load_evaluation(tmp_path / "out") == found


def test_a_class_that_is_nowhere_is_told(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Its Dice of 1 enters the mean: 0.75 with it here, 0.5 of the ring alone."""
    pred, ref = folders
    save(pred / "a.nii.gz", anatomy(1, core=False))
    save(ref / "a.nii.gz", anatomy(core=False))
    found = evaluate(pred, ref, tmp_path / "out")
    assert scores(found, "a", "core")["dice"] == 1
    assert found.absent() == {"core": 1}
    assert found.notes() == ["Neither mask nor reference shows a class, which counts as Dice 1: core in 1 of 2 cases"]
    assert load_evaluation(tmp_path / "out") == found
    save(pred / "a.nii.gz", anatomy(1))  # a core that is not there: Dice 0, as it was
    assert evaluate(pred, ref).notes() == []


def test_another_grid_is_refused(folders: tuple[Path, Path]) -> None:
    pred, ref = folders
    save(pred / "b.nii.gz", anatomy()[:-1])
    with pytest.raises(
        UserError, match=r"predictions/b\.nii\.gz lies on another grid than .*labelsTs/b\.nii\.gz: shape"
    ):
        evaluate(pred, ref)
    save(pred / "b.nii.gz", anatomy(), np.eye(4))
    with pytest.raises(UserError, match=r"b\.nii\.gz lies on another grid than .*b\.nii\.gz: affine"):
        evaluate(pred, ref)


def test_a_mask_that_a_note_turns_and_a_reference_without_it_are_refused(tmp_path: Path) -> None:
    turned = new_volume(np.eye(9, 8, dtype=np.uint8), native=3)  # of a picture that was stored upside down
    formats.write(tmp_path / "pred/a.png", turned.voxels, turned)
    formats.write(tmp_path / "ref/a.png", turned.voxels, new_volume(turned.voxels))
    with pytest.raises(UserError, match=r"pred/a\.png has a note that turns it .*ref/a\.png has another or none"):
        evaluate(tmp_path / "pred", tmp_path / "ref")
    formats.write(tmp_path / "ref/a.png", turned.voxels, turned)
    assert scores(evaluate(tmp_path / "pred", tmp_path / "ref"), "a", "label 1")["dice"] == 1


def test_damaged_inputs_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, ref = folders
    save(pred / "b.nii.gz", anatomy() + 5)
    with pytest.raises(UserError, match=r"predictions/b\.nii\.gz holds the label values \[5, 6, 7\]"):
        evaluate(pred, ref, tmp_path / "out")
    save(pred / "b.nii.gz", anatomy() * np.float32(0.5))
    with pytest.raises(UserError, match=r"predictions/b\.nii\.gz holds fractions"):
        evaluate(pred, ref, tmp_path / "out")
    (pred / "b.nii.gz").write_bytes((pred / "a.nii.gz").read_bytes()[:100])
    with pytest.raises(UserError, match=r"predictions/b\.nii\.gz cannot be read"):
        evaluate(pred, ref, tmp_path / "out")
    save(pred / "b.nii.gz", anatomy())
    save(pred / "b.nii", anatomy())
    with pytest.raises(UserError, match=r"b\.nii and b\.nii\.gz for one case"):
        evaluate(pred, ref, tmp_path / "out")
    (pred / "b.nii").unlink()
    (pred / "prediction.json").write_text("{")
    with pytest.raises(UserError, match=r"prediction\.json is damaged"):
        evaluate(pred, ref, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wrong_paths(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pred, ref = folders
    (tmp_path / "empty").mkdir()
    for one, other, told in (
        (tmp_path / "none", ref, "does not exist"),
        (tmp_path / "empty", ref, "has no file that ends in .nii.gz or .nii"),
        (pred / "a.nii.gz", ref, "a file and a folder"),
    ):
        with pytest.raises(UserError, match=told):
            evaluate(one, other)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        evaluate(pred, ref, tmp_path / "file")
    save(pred / "a.nii.gz", np.zeros((4, 4), np.uint8))
    save(tmp_path / "zero.nii.gz", np.zeros((4, 4), np.uint8))
    with pytest.raises(UserError, match="no label but background"):
        evaluate(pred / "a.nii.gz", tmp_path / "zero.nii.gz")


def test_load_refuses_other_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_evaluation(tmp_path)
    for text in ("{", "[]", '{"format": "other"}'):
        (tmp_path / "summary.json").write_text(text)
        with pytest.raises(UserError, match=r"summary.json is damaged.*crossmatch evaluate. again"):
            load_evaluation(tmp_path)


def test_real_labels_agree_with_themselves(shared: Path, tmp_path: Path) -> None:
    reference = next(iter(sorted((shared / "data" / "acdc" / "labelsTs").glob("*.nii.gz"))))
    found = evaluate(reference, reference)
    assert found.dataset == "ACDC"
    assert [row.name for row in found.rows] == ["RV", "MYO", "LV"]
    assert all(row.scores["dice"] == 1 and row.scores["assd_voxels"] == 0 for row in found.rows)


def test_statistics_of_a_class_that_no_case_defines() -> None:
    row = ClassScores("a", "x", 1, {"dice": 0.0, "hd95_voxels": math.nan})
    found = Evaluation((row,), {"x": 1}, "p", "r", None, (), (), None)
    statistic = found.statistics("x")["hd95_voxels"]
    assert math.isnan(statistic.mean)
    assert (statistic.cases, statistic.undefined) == (0, 1)
    assert found.to_json()["summary"]["classes"]["x"]["hd95_voxels"]["mean"] is None


def test_headers_that_contradict_themselves_are_told_and_measured_by_what_is_known(tmp_path: Path) -> None:
    """Three slices apart: 9 mm by the affine, 3 by unit steps that nobody set; with leaning axes no millimetres."""
    mask = np.zeros((24, 24, 12), np.uint8)
    mask[8:16, 8:16, 2:6] = 1
    for name, voxels in (("reference", mask), ("prediction", np.roll(mask, 3, 2))):
        image = nib.Nifti1Image(voxels, np.diag([1.5, 1.5, 3, 1]))
        image.header.set_xyzt_units("mm")
        image.header.set_zooms((1, 1, 1))
        (tmp_path / name).mkdir()
        nib.save(image, tmp_path / name / "a.nii.gz")
    told: list[str] = []
    evaluated = evaluate(tmp_path / "prediction", tmp_path / "reference", warn=told.append)
    assert evaluated.rows[0].scores["hd95_mm"] == 9
    assert told == [
        "headers that contradict themselves: a (its voxel size says 1 x 1 x 1 mm, its affine 1.5 x 1.5 x 3 mm; "
        "1.5 x 1.5 x 3 mm is taken); correct them"
    ]
    leaning = np.diag([1.0, 1, 3, 1])
    leaning[0, 2] = 3
    for path in tmp_path.glob("*/a.nii.gz"):
        nib.save(nib.Nifti1Image(formats.read(path).voxels, leaning), path)
    evaluated = evaluate(tmp_path / "prediction", tmp_path / "reference", warn=told.append)
    assert "hd95_mm" not in evaluated.rows[0].scores
    assert evaluated.rows[0].scores["hd95_voxels"] == 3
    assert "not 90, so distances in millimetres are left out" in told[1]


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_computed(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pred, ref = folders
    (tmp_path / "file").touch()
    monkeypatch.setattr("crossmatch.scoring.evaluate._rows", None)
    with pytest.raises(UserError, match=r"file/out cannot be written to \(.*\): name a folder"):
        evaluate(pred, ref, tmp_path / "file" / "out")


def test_voxels_to_be_ignored_leave_every_score(folders: tuple[Path, Path]) -> None:
    """By hand: a block moved by one of 2 mm, with the columns ignored in which the masks differ, is right again."""
    pred, ref = folders
    drawn = anatomy()
    drawn[[2, 4, 6, 8]] = 3  # the first and last columns of block and core, before and after they are moved
    for path in (pred / "a.nii.gz", ref / "a.nii.gz"):
        path.unlink()
    save(ref / "b.nii.gz", drawn)
    description = json.loads((ref.parent / "dataset.json").read_text())
    (ref.parent / "dataset.json").write_text(json.dumps(description | {"labels": {**LABELS, "ignore": 3}}))
    found = evaluate(pred, ref)
    assert found.labels == {"ring": 1, "core": 2}
    wanted = {metric: float(metric in ("dice", "jaccard")) for metric in METRICS if metric != THRESHOLDED}
    for name in found.labels:
        assert scores(found, "b", name) == wanted
    assert evaluate(pred, ref, labels={**LABELS, "ignore": 3}).rows == found.rows
    with pytest.raises(UserError, match=r"holds the label values \[3\], known are 0 background, 1 ring, 2 core"):
        evaluate(pred, ref, labels=LABELS)


def test_distances_beside_ignored_slices_are_those_of_the_outlines(folders: tuple[Path, Path]) -> None:
    """By hand: of a block of 6 x 6 moved by one of 2 mm, only the middle slice was drawn."""
    pred, ref = folders
    drawn = anatomy(core=False)
    drawn[..., [0, 1, 3, 4]] = 3
    for path in (pred / "a.nii.gz", ref / "a.nii.gz"):
        path.unlink()
    save(ref / "b.nii.gz", drawn)
    save(pred / "b.nii.gz", anatomy(1, core=False))
    ring = scores(evaluate(pred, ref, labels={**LABELS, "ignore": 3}), "b", "ring")
    assert ring["dice"] == pytest.approx(30 / 36)
    # of the outline's 20 pixels, the 6 of one side lie one pixel outside; on the opposite side 4 lie one inside, while
    # the two corners lie on the other outline
    assert (ring["hd95_voxels"], ring["hd95_mm"]) == (1, 2)
    assert (ring["asd_voxels"], ring["asd_mm"], ring["assd_mm"]) == (0.5, 1, 1)


def test_a_class_without_a_surface_beside_ignored_voxels_has_undefined_distances(folders: tuple[Path, Path]) -> None:
    pred, ref = folders
    drawn = anatomy()
    inside = np.zeros(drawn.shape, bool)
    inside[4:6, 4:6, 2] = True  # the core, all other voxels are to be ignored
    drawn[~inside] = 3
    save(ref / "b.nii.gz", drawn)
    save(pred / "b.nii.gz", anatomy())
    found = evaluate(pred, ref, labels={**LABELS, "ignore": 3})
    core = scores(found, "b", "core")
    assert core["dice"] == 1
    assert all(math.isnan(core[name]) for name in METRICS if name.startswith(("hd95", "asd", "assd")))
    hd95 = found.statistics("core")["hd95_mm"]
    assert (hd95.mean, hd95.cases, hd95.undefined) == (0, 1, 1)
    assert scores(found, "b", "ring")["hd95_mm"] == 0  # in neither mask


def test_a_cropped_segmentation_stored_with_other_axes_is_a_reference(tmp_path: Path) -> None:
    """3D Slicer saves a part of the scan's grid; here with its axes reversed and swapped, too."""
    save(tmp_path / "masks" / "a.nii.gz", anatomy())
    part = anatomy()[1:10, 1:9, 1:]  # from voxel (1, 1, 1) on
    place = GRID.copy()
    place[:3, 3] = GRID[:3, :3] @ (1, 1, 1)
    axes, stored = (2, 0, 1), part[::-1].transpose(2, 0, 1)
    affine = place @ np.array([[-1, 0, 0, 8], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    affine = affine[:, [*axes, 3]]
    (tmp_path / "references").mkdir()
    header = {"space": "right-anterior-superior", "space directions": affine[:3, :3].T, "space origin": affine[:3, 3]}
    for n, (name, value) in enumerate((("ring", 1), ("core", 2))):
        header |= {f"Segment{n}_ID": f"S{n}", f"Segment{n}_Name": name, f"Segment{n}_LabelValue": str(value)}
    nrrd.write(str(tmp_path / "references" / "a.seg.nrrd"), np.ascontiguousarray(stored), header)
    found = evaluate(tmp_path / "masks", tmp_path / "references", labels=LABELS)
    assert [row.scores["dice"] for row in found.rows] == [1, 1]
    assert evaluate(tmp_path / "references", tmp_path / "masks", labels=LABELS).case_means() == {"a": 1}


def test_a_segment_of_another_organ_is_no_reference(folders: tuple[Path, Path]) -> None:
    """Its number is that of a class, but not its name; without names of classes, numbers are all there is."""
    pred, ref = folders
    header: dict[str, object] = {"space": "RAS", "space directions": GRID[:3, :3], "space origin": [0, 0, 0]}
    for n, name in enumerate(("aorta", "spleen")):
        header |= {f"Segment{n}_ID": f"S{n}", f"Segment{n}_Name": name, f"Segment{n}_LabelValue": str(n + 1)}
    (ref / "a.nii.gz").unlink()
    nrrd.write(str(ref / "a.seg.nrrd"), anatomy(), header)
    with pytest.raises(UserError, match=r"a\.seg\.nrrd has the segments aorta, spleen, which are no labels"):
        evaluate(pred, ref)
    (ref.parent / "dataset.json").unlink()
    assert scores(evaluate(pred, ref), "a", "label 2")["dice"] == 1


def test_the_largest_component_of_each_class(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Islands of both classes far from the block cost Dice, and nothing where only the largest part is scored."""
    pred, ref = folders
    voxels = anatomy()
    voxels[10, 0, 0], voxels[11, 9, 4] = 1, 2
    save(pred / "a.nii.gz", voxels)
    plain = evaluate(pred, ref, pred)
    assert scores(plain, "a", "core")["dice"] == pytest.approx(8 / 9)  # 4 of 5 predicted voxels, 4 drawn
    kept = evaluate(pred, ref, tmp_path / "largest", largest_component=True)
    for name in kept.labels:
        assert scores(kept, "a", name) == {
            metric: float(metric in ("dice", "jaccard")) for metric in METRICS if metric != THRESHOLDED
        }
    assert [row for row in kept.rows if row.case == "b"] == [row for row in plain.rows if row.case == "b"]
    assert load_evaluation(tmp_path / "largest") == kept
    assert (plain.largest_component, kept.largest_component) == (False, True)
    heading = "predictions against labelsTs: 2 cases"
    assert str(plain.table().title) == heading
    assert str(kept.table().title) == f"{heading}, of each predicted class the largest component"
    with pytest.raises(UserError, match="already holds the evaluation of predictions against labelsTs: name another"):
        evaluate(pred, ref, pred, largest_component=True)
    with pytest.raises(UserError, match=r"already holds .* the largest component: name another folder"):
        evaluate(pred, ref, tmp_path / "largest")


def test_voxels_that_touch_at_a_corner_are_one_component_and_the_first_of_equal_ones_is_kept() -> None:
    mask = np.zeros((5, 5, 5), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[4, 4, 0] = mask[4, 4, 1] = True
    assert np.argwhere(largest_component_of(mask)).tolist() == [[0, 0, 0], [1, 1, 1]]
    mask[4, 4, 2] = True
    assert np.argwhere(largest_component_of(mask)).tolist() == [[4, 4, 0], [4, 4, 1], [4, 4, 2]]
    empty = np.zeros((3, 3), bool)
    assert not largest_component_of(empty).any()
