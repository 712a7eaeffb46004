"""One exported ONNX model for all tests that only need one: exporting takes seconds."""

import pytest
from exporting import Sliced, run_of, write_scans

from crossmatch.export.export_run import export_run


@pytest.fixture(scope="session")
def sliced(tmp_path_factory: pytest.TempPathFactory) -> Sliced:
    """A 2D model in ONNX, and NIfTI scans for it."""
    pytest.importorskip("onnxscript", reason="the extra [export] is not installed")
    place = tmp_path_factory.mktemp("sliced")
    run, scans = run_of("slices", place / "run").folder, write_scans("slices", place / "scans")
    return Sliced(run, scans, export_run(run, place / "model", "onnx"))
