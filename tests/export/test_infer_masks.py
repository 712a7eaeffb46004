"""infer.py gives the masks of `crossmatch predict`, whatever stands around the network."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from crossmatch.export import infer
from crossmatch.export.description import describe
from crossmatch.export.export_run import export_run
from crossmatch.export.program import Probabilities
from crossmatch.inference.predict import Options, predict
from exporting import KINDS, assert_same_masks, load_infer, run_of, write_scans

CPU = Options(device="cpu")


@pytest.mark.parametrize("kind", ["slices", "volumes", "resampled", "colour"])
def test_an_exported_onnx_model_gives_the_masks_of_predict(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra [export] is not installed")
    run, scans = run_of(kind, tmp_path / "run"), write_scans(kind, tmp_path / "scans")
    predict(run.folder, scans, tmp_path / "ours", CPU)
    exported = export_run(run.folder, tmp_path / "model", "onnx")
    load_infer(exported).main(scans, tmp_path / "theirs")
    assert_same_masks(tmp_path / "theirs", tmp_path / "ours")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("slices", "volumes", "colour")])
def test_what_stands_around_the_network_is_that_of_predict(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file of the network, which is exported above: PyTorch's own takes its place."""
    run, scans = run_of(kind, tmp_path / "run"), write_scans(kind, tmp_path / "scans")
    predict(run.folder, scans, tmp_path / "ours", CPU)
    network, checkpoint = run.load_network()
    program = Probabilities(network)
    about = describe(run, checkpoint, "last", "model.onnx")
    model = model_of(about, tmp_path, lambda images: program(torch.from_numpy(images)).numpy())
    monkeypatch.setattr(infer, "Model", lambda: model)
    infer.main(scans, tmp_path / "theirs")
    assert_same_masks(tmp_path / "theirs", tmp_path / "ours")


def model_of(about: dict, folder: Path, network) -> infer.Model:
    import json

    (folder / "model.json").write_text(json.dumps(about))
    return infer.Model(folder, network)
