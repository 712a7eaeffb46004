"""ISIC-2018 by the commands, from the challenge's folders to scores: `isic_small`, shrunk, on tiny pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command import call
from isic_folders import TEST, truths, write_isic

SMALLER = {
    "data.size": "[16, 16]",
    "network.width": 2,
    "network.dropout": "[0.0, 0.0]",
    "train.steps": 2,
    "train.validate_every": 2,
    "train.batch.labelled": 2,
    "train.batch.unlabelled": 2,
    "views.strong.grey_probability": 0.2,
    "data.labelled": 26,
}


def test_from_the_challenges_folders_to_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, data, run = write_isic(tmp_path / "src", training=30), tmp_path / "isic", tmp_path / "run"
    assert call(capsys, "import", "isic", source, data, "--link")[0] == 0
    changes = [word for key, value in SMALLER.items() for word in ("--set", f"{key}={value}")]
    assert call(capsys, "train", "isic_small", "--data", data, "--out", run, "--device", "cpu", *changes)[0] == 0
    assert json.loads((run / "run.json").read_text())["data"]["channels"] == ["red", "green", "blue"]
    assert call(capsys, "predict", run, data / "imagesTs", run / "test")[0] == 0
    for name in TEST:
        with Image.open(run / "test" / f"{name}.png") as mask, Image.open(data / "labelsTs" / f"{name}.png") as label:
            assert mask.size == label.size
            assert set(np.unique(mask)) <= {0, 1}
    code, out, _ = call(capsys, "evaluate", run / "test", data / "labelsTs")
    assert code == 0
    assert "Threshold" in out
    summary = json.loads((run / "test" / "summary.json").read_text())
    assert summary["jaccard_threshold"] == 0.65
    assert {"dice", "jaccard", "threshold_jaccard", "hd95_voxels", "asd_voxels"} <= set(summary["cases"][0])
    assert len(summary["cases"]) == len(TEST) == len(list(truths(source, "Test").glob("*.png")))
    assert call(capsys, "report", run)[0] == 0
    assert "Threshold Jaccard" in (run / "report.html").read_text()


def test_a_recipe_is_for_its_protocol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lists of two protocols are never mixed by accident."""
    data = tmp_path / "isic"
    assert call(capsys, "import", "isic", write_isic(tmp_path / "src"), data)[0] == 0
    described = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**described, "name": "isic_dtpc"}))
    code, _, err = call(capsys, "train", "isic_26", "--data", data, "--out", tmp_path / "run")
    assert code == 2
    assert "The recipe is for the dataset isic_official" in " ".join(err.split())
