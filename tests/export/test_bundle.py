"""MONAI runs an exported bundle, with the masks of `crossmatch predict`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    from monai.bundle import run as run_bundle

    run, scans = run_of(kind, tmp_path / "run"), write_scans(kind, tmp_path / "scans")
    predict(run.folder, scans, tmp_path / "ours", Options(device="cpu", format="png" if kind == "colour" else None))
    bundle = export_run(run.folder, tmp_path / "bundle", "bundle")
    run_bundle(
        config_file=str(bundle / "configs/inference.json"),
        meta_file=str(bundle / "configs/metadata.json"),
        logging_file=False,
        bundle_root=str(bundle),
        dataset_dir=str(scans),
        output_dir=str(tmp_path / "theirs"),
        device="$torch.device('cpu')",
    )
    assert_same_masks(tmp_path / "theirs", tmp_path / "ours")


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
