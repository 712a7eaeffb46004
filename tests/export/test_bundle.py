"""MONAI runs an exported bundle, with the masks of `crossmatch predict`."""

from pathlib import Path

import pytest
from exporting import assert_same_masks, run_of, write_scans

from crossmatch.export.export_run import export_run
from crossmatch.inference.predict import Options, predict


@pytest.mark.filterwarnings("ignore")  # of MONAI's own code
@pytest.mark.parametrize("kind", ["resampled", "slices", "channels", "colour"])
def test_monai_runs_a_bundle(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("monai", reason="MONAI is not installed")
    from monai.bundle import ConfigWorkflow

    run, scans = run_of(kind, tmp_path / "run"), write_scans(kind, tmp_path / "scans")
    predict(run.folder, scans, tmp_path / "ours", Options(device="cpu", format="png" if kind == "colour" else None))
    bundle = export_run(run.folder, tmp_path / "bundle", "bundle")
    monkeypatch.syspath_prepend(str(tmp_path))  # what the bundle adds is gone after the test
    workflow = ConfigWorkflow(
        str(bundle / "configs/inference.json"),
        str(bundle / "configs/metadata.json"),
        logging_file=False,
        workflow_type="inference",
        bundle_root=str(bundle),
        dataset_dir=str(scans),
        output_dir=str(tmp_path / "theirs"),
        device="$torch.device('cpu')",
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()
    workflow.finalize()
    for name in [name for name in __import__("sys").modules if name.split(".")[0] == "scripts"]:
        monkeypatch.delitem(__import__("sys").modules, name)
    for path in (tmp_path / "theirs").iterdir():
        path.rename(path.with_name(path.name.replace("_0000", "")))
    assert_same_masks(tmp_path / "theirs", tmp_path / "ours")
