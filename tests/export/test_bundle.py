"""MONAI runs an exported bundle, with the masks of `crossmatch predict`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from exporting import assert_same_masks, run_of, write_scans

from crossmatch.export.export_run import export_run
from crossmatch.inference.predict import Options, predict


@pytest.fixture
def _imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a bundle puts on the path and imports from its folder is gone after the test."""
    pytest.importorskip("monai", reason="MONAI is not installed")
    monkeypatch.syspath_prepend(".")
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "scripts"]:
        del sys.modules[name]


@pytest.mark.filterwarnings("ignore")  # of MONAI's own code
@pytest.mark.usefixtures("_imports")
@pytest.mark.parametrize("kind", ["resampled", "channels", "colour"])
def test_monai_runs_a_bundle(kind: str, tmp_path: Path) -> None:
    run, scans = run_of(kind, tmp_path / "run"), write_scans(kind, tmp_path / "scans")
    predict(run.folder, scans, tmp_path / "ours", Options(device="cpu", format="png" if kind == "colour" else None))
    run_exported(run.folder, scans, tmp_path / "theirs")
    assert_same_masks(tmp_path / "theirs", tmp_path / "ours")


def run_exported(run: Path, scans: Path, masks: Path) -> None:
    """Let MONAI run the bundle of a run."""
    from monai.bundle import run as run_bundle

    bundle = export_run(run, masks.parent / "bundle", "bundle")
    run_bundle(
        config_file=str(bundle / "configs/inference.json"),
        meta_file=str(bundle / "configs/metadata.json"),
        logging_file=False,
        bundle_root=str(bundle),
        dataset_dir=str(scans),
        output_dir=str(masks),
        device="$torch.device('cpu')",
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("_imports")
def test_a_mask_lies_where_its_scan_does(tmp_path: Path) -> None:
    """Also where the affine of a header says nothing, as in ACDC, or the unit is another than mm."""
    run, scans, header = run_of("slices", tmp_path / "run"), tmp_path / "scans", nib.Nifti1Header()
    scans.mkdir()
    voxels = np.random.default_rng(0).integers(0, 200, (3, 24, 20, 5)).astype(np.int16)
    header.set_data_shape(voxels.shape[1:])
    for name, units, zooms in (("acdc.nii.gz", "unknown", (1.5, 1.5, 9.0)), ("other.nii", "mm", (2.0, 1.0, 3.0))):
        header.set_xyzt_units(units)
        image = nib.Nifti1Image(voxels[len(name) % 2], np.eye(4), header)
        image.header.set_zooms(zooms)
        image.header["sform_code"], image.header["qform_code"] = 2, 0
        nib.save(image, scans / name)
    image = nib.Nifti1Image(voxels[2], np.diag([-1500.0, 1500, 8000, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, scans / "microns.nii.gz")
    predict(run.folder, scans, tmp_path / "ours", Options(device="cpu"))
    run_exported(run.folder, scans, tmp_path / "theirs")
    assert_same_masks(tmp_path / "theirs", tmp_path / "ours")
    for path in scans.iterdir():
        scan, mask = nib.load(path), nib.load(tmp_path / "theirs" / path.name)
        assert np.array_equal(mask.affine, scan.affine)
        for field in ("pixdim", "sform_code", "qform_code", "xyzt_units"):
            assert np.array_equal(mask.header[field], scan.header[field]), (path.name, field)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("_imports")
def test_a_bundle_runs_as_its_own_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, scans = run_of("slices", tmp_path / "run"), write_scans("slices", tmp_path / "scans")
    predict(run.folder, scans, tmp_path / "ours", Options(device="cpu"))
    bundle = export_run(run.folder, tmp_path / "bundle", "bundle")
    scans.rename(bundle / "scans")
    monkeypatch.chdir(bundle)
    (code,) = re.findall(r"^```py\n(.*?)^```", (bundle / "docs/README.md").read_text(), re.M | re.S)
    space: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), space)
    assert space["workflow"].check_properties() == []  # nothing that MONAI asks of a bundle is missing
    assert_same_masks(bundle / "masks", tmp_path / "ours")
