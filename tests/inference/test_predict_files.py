"""Prediction of files: the input's geometry, names, what is refused, what is left behind."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.inference.predict import Options, predict
from crossmatch.runs.run import Run
from tiny import AFFINE, write_dataset, write_nifti
from untrained import save_untrained, untrained_run

OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.3, -0.2, 0.1) @ np.diag([1.3, 1.7, 6.0]), [-40.5, 12.25, 80]
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", n_train=2, n_val=2)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return untrained_run(tmp_path_factory.mktemp("runs") / "run", data)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of two scans, `a` and `b`."""
    for seed, name in enumerate(("a_0000", "b_0000")):
        write_nifti(tmp_path / "scans" / f"{name}.nii.gz", noise(18, 20, 2, seed=seed))
    return tmp_path / "scans"


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape, dtype=np.int16)


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def tree(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize(
    ("shape", "kind", "slope", "codes"),
    [
        ((37, 53, 3), "int16", 1, (1, 2)),
        ((16, 16, 1), "uint8", 1, (1, 0)),
        ((31, 20), "float32", 1, (0, 1)),
        ((31, 20, 2), "int16", 0.5, (2, 1)),
    ],
)
def test_a_mask_has_the_geometry_of_its_scan(
    run: Run, tmp_path: Path, shape: tuple[int, ...], kind: str, slope: float, codes: tuple[int, int]
) -> None:
    image = nib.Nifti1Image(noise(*shape).astype(kind), None)
    image.set_qform(OBLIQUE, codes[0])
    image.set_sform(OBLIQUE, codes[1])
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_slope_inter(slope, -20 if slope != 1 else 0)
    image.header["descrip"], image.header["cal_max"] = b"a scanner", 199
    nib.save(image, tmp_path / "scan_0000.nii.gz")
    source = nib.load(tmp_path / "scan_0000.nii.gz")
    assert source.dataobj.slope == slope
    (written,) = predict(run.folder, tmp_path / "scan_0000.nii.gz", tmp_path / "out", Options(probabilities=True))
    assert written == tmp_path / "out" / "scan.nii.gz"
    mask, maps = nib.load(written), nib.load(tmp_path / "out" / "probabilities" / "scan.nii.gz")
    assert (mask.shape, maps.shape) == (shape, (*shape, 3))
    for found in (mask, maps):
        assert np.array_equal(found.affine, source.affine)
        assert tuple(int(found.header[key]) for key in ("qform_code", "sform_code")) == codes
        assert np.array_equal(found.get_qform(), source.get_qform())
        assert found.header.get_zooms()[: len(shape)] == source.header.get_zooms()
        assert found.header.get_xyzt_units()[0] == "mm"
        assert (found.dataobj.slope, found.dataobj.inter, float(found.header["cal_max"])) == (1, 0, 0)
    assert (mask.get_data_dtype(), maps.get_data_dtype()) == (np.uint8, np.float32)
    assert set(np.unique(mask.dataobj)) <= {0, 1, 2}
    assert len(np.unique(mask.dataobj)) > 1
    assert np.array_equal(np.asarray(maps.dataobj).argmax(-1), mask.dataobj)
    assert np.asarray(maps.dataobj).sum(-1) == pytest.approx(1, abs=1e-5)


def test_a_folder_a_file_and_other_names(run: Run, scans: Path, tmp_path: Path) -> None:
    (scans / "b_0000.nii.gz").rename(scans / "b.nii.gz")
    calls: list[tuple[int, int]] = []
    out = tmp_path / "new" / "masks"
    written = predict(run.folder, scans, out, progress=lambda *done: calls.append(done))
    assert written == [out / "a.nii.gz", out / "b.nii.gz"]
    assert calls == [(0, 2), (1, 2), (2, 2)]
    assert sorted(tree(out)) == ["a.nii.gz", "b.nii.gz", "prediction.json"]
    predict(run.folder, scans / "b.nii.gz", tmp_path / "one")
    assert np.array_equal(voxels(tmp_path / "one" / "b.nii.gz"), voxels(out / "b.nii.gz"))
    assert not np.array_equal(voxels(out / "a.nii.gz"), voxels(out / "b.nii.gz"))


def test_two_channels_in_two_files(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", channels=2)
    run = untrained_run(tmp_path / "run", data)
    predict(run.folder, data / "imagesTs", tmp_path / "out")
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    for one, other in ((0, 1), (1, 0)):
        source = data / "imagesTs" / f"case_005_000{one}.nii.gz"
        (swapped / f"case_005_000{other}.nii.gz").write_bytes(source.read_bytes())
    predict(run.folder, swapped, tmp_path / "other")
    assert not np.array_equal(
        voxels(tmp_path / "out" / "case_005.nii.gz"), voxels(tmp_path / "other" / "case_005.nii.gz")
    )
    image = nib.load(swapped / "case_005_0001.nii.gz")
    write_nifti(swapped / "case_005_0001.nii.gz", np.asarray(image.dataobj), AFFINE @ np.diag([1, 1, 1.1, 1]))
    with pytest.raises(UserError, match=r"channels of case_005 lie on different grids\. .*_0001.* against .*_0000"):
        predict(run.folder, swapped, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_made_the_masks_is_written_down(run: Run, scans: Path, tmp_path: Path) -> None:
    predict(run.folder, scans, tmp_path / "out", Options(flips=True))
    facts = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert [facts[key] for key in ("run", "checkpoint", "step", "flips")] == ["run", "last", 3, True]
    assert facts["precision"] == "float32"
    assert facts["recipe"] == run.record["recipe"]
    assert facts["training"]["code"] == run.record["code"]
    assert facts["data"]["labels"] == {"background": 0, "RV": 1, "MYO": 2}
    named = {*run.data["labelled"], *run.data["validation"]}
    contents = {case: content for case, content in run.data["contents"].items() if case in named}
    kept = {key: value for key, value in run.data.items() if key != "unlabelled_cases"}  # they may be thousands
    assert facts["data"] == {**kept, "root": "tiny", "contents": contents}
    predict(run.folder, scans, tmp_path / "path", Options(checkpoint=str(run.checkpoint("last"))))
    text = (tmp_path / "path" / "prediction.json").read_text()
    assert json.loads(text)["checkpoint"] == "last.safetensors"
    assert str(tmp_path) not in text
    assert run.data["root"] not in text


def test_masks_are_made_in_float32_unless_asked_otherwise(data: Path, scans: Path, tmp_path: Path) -> None:
    """Whatever the precision of the training: a mask does not depend on what the processor can do."""
    rough = untrained_run(tmp_path / "rough", data, "train.precision=bf16").folder
    precise = untrained_run(tmp_path / "precise", data).folder
    both = Options(probabilities=True)
    for folder, out in ((rough, "rough_masks"), (precise, "precise_masks")):
        predict(folder, scans, tmp_path / out, both)
    predict(precise, scans, tmp_path / "bf16_masks", replace(both, precision="bf16"))
    maps = {
        name: voxels(tmp_path / f"{name}_masks" / "probabilities" / "a.nii.gz") for name in ("rough", "precise", "bf16")
    }
    assert np.array_equal(maps["rough"], maps["precise"])
    difference = abs(maps["bf16"] - maps["precise"]).max()
    assert 1e-4 < difference < 0.3
    assert json.loads((tmp_path / "bf16_masks" / "prediction.json").read_text())["precision"] == "bf16"
    with pytest.raises(UserError, match="another run, checkpoint or setting"):
        predict(precise, scans, tmp_path / "bf16_masks", both)


def test_masks_are_not_overwritten(run: Run, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(run.folder, scans / "b_0000.nii.gz", out, Options(probabilities=True))
    mine = formats.read(out / "b.nii.gz")
    formats.write(out / "b.nii.gz", np.full(mine.shape, 2, np.uint8), like=mine)  # corrected by hand
    before = {name: content for name, content in tree(out).items() if name != "prediction.json"}
    done = predict(run.folder, scans, out)  # the same prediction goes on: what is there stays, what is missing is made
    assert sorted(path.name for path in done) == ["a.nii.gz", "b.nii.gz"]
    assert {name: content for name, content in tree(out).items() if name in before} == before
    assert (out / "a.nii.gz").stat().st_size > 100
    with pytest.raises(UserError, match="another run, checkpoint or setting"):
        predict(run.folder, scans, out, Options(flips=True))
    (out / "prediction.json").unlink()
    with pytest.raises(UserError, match=r"out has masks already \(a, b\).*nothing was overwritten"):
        predict(run.folder, scans, out)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UserError, match="file is a file: name a folder"):
        predict(run.folder, scans, tmp_path / "file")
    with pytest.raises(UserError, match=r"mask\.nii\.gz is a file: name a folder"):
        predict(run.folder, scans, tmp_path / "mask.nii.gz")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_folder_holds_the_masks_of_one_run(run: Run, scans: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(run.folder, scans / "a_0000.nii.gz", out)
    before = tree(out)
    with pytest.raises(UserError, match=r"another run, checkpoint or setting, see .*prediction\.json"):
        predict(run.folder, scans / "b_0000.nii.gz", out, Options(flips=True))
    assert tree(out) == before
    predict(run.folder, scans / "b_0000.nii.gz", out)  # the same run may go on
    assert sorted(tree(out)) == ["a.nii.gz", "b.nii.gz", "prediction.json"]


def test_a_crash_leaves_whole_files_only(
    run: Run, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = nib.save

    def crash(image: nib.Nifti1Image, path: Path) -> None:
        if "b.nii" in Path(path).name:
            Path(path).write_bytes(b"half")
            raise KeyboardInterrupt
        save(image, path)

    monkeypatch.setattr(nib, "save", crash)
    with pytest.raises(KeyboardInterrupt):
        predict(run.folder, scans, tmp_path / "out")
    assert sorted(tree(tmp_path / "out")) == ["a.nii.gz", "prediction.json"]
    assert voxels(tmp_path / "out" / "a.nii.gz").shape == (18, 20, 2)


def test_bad_voxels_are_named(run: Run, scans: Path, tmp_path: Path) -> None:
    good = noise(18, 20, 2).astype(np.float32)
    bad = good.copy()
    bad[3, 4, 1] = np.nan
    whole = (scans / "b_0000.nii.gz").read_bytes()
    for number, (content, told) in enumerate(
        (
            (bad, "has voxels that are NaN or infinite"),
            (good * 0 + 7, "is constant, every voxel is 7"),
            (whole[:-300], "truncated"),
        )
    ):
        path = scans / "b_0000.nii.gz"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write_nifti(path, content)
        with pytest.raises(UserError, match=rf"b_0000\.nii\.gz .*{told}"):
            predict(run.folder, scans, tmp_path / str(number))
        assert sorted(tree(tmp_path / str(number))) == ["a.nii.gz", "prediction.json"]


def test_bad_headers_stop_before_anything_is_written(run: Run, scans: Path, tmp_path: Path) -> None:
    write_nifti(scans / "b_0000.nii.gz", noise(18, 20, 2, 3))
    with pytest.raises(UserError, match=r"b_0000\.nii\.gz has 4 axes"):
        predict(run.folder, scans, tmp_path / "out")
    (scans / "b_0000.nii.gz").write_bytes(b"not NIfTI")
    with pytest.raises(UserError, match=r"b_0000\.nii\.gz cannot be read"):
        predict(run.folder, scans, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_checkpoints(data: Path, scans: Path, tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "run", data)
    with pytest.raises(UserError, match="no best checkpoint: it was never validated"):
        predict(run.folder, scans, tmp_path / "none", Options(checkpoint="best"))
    save_untrained(run, "best", seed=1)
    for name, checkpoint in (("last", "last"), ("best", "best"), ("path", str(run.checkpoint("best")))):
        predict(run.folder, scans, tmp_path / name, Options(checkpoint=checkpoint))
    last, best, path = (voxels(tmp_path / name / "a.nii.gz") for name in ("last", "best", "path"))
    assert np.array_equal(best, path)
    assert not np.array_equal(last, best)
    wide = untrained_run(tmp_path / "wide", data, "network.width=8")
    for checkpoint, told in (
        (
            str(wide.checkpoint("last")),
            r"wide/checkpoints/last\.safetensors belongs to another network than the recipe's",
        ),
        (str(tmp_path / "gone"), "There is no checkpoint .*gone"),
        (str(scans / "a_0000.nii.gz"), "a_0000.nii.gz cannot be read .* damaged"),
    ):
        with pytest.raises(UserError, match=told):
            predict(run.folder, scans, tmp_path / "none", Options(checkpoint=checkpoint))
    run.checkpoint("last").unlink()
    run.checkpoint("best").unlink()
    with pytest.raises(UserError, match=r"no checkpoint .*last\.safetensors: train first"):
        predict(run.folder, scans, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_the_best_checkpoint_alone_is_enough(data: Path, scans: Path, tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "run", data)
    run.checkpoint("last").rename(run.checkpoint("best"))
    assert len(predict(run.folder, scans, tmp_path / "out", Options(checkpoint="best"))) > 0


def test_no_such_device(run: Run, scans: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'cuda' is not available.*--device cpu"):
        predict(run.folder, scans, tmp_path / "out", Options(device="cuda"))
    assert not (tmp_path / "out").exists()
