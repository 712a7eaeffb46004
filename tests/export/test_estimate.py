"""Quality in an exported model: constants in model.json, and estimate.py, which needs nothing else."""

import csv
import importlib.util
import json
import math
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from exporting import assert_same_masks

from command import call
from crossmatch import formats
from crossmatch.export.estimate import WatchedModel
from crossmatch.export.export_run import export_run, write_sums
from crossmatch.export.program import quiet
from crossmatch.inference.calibration import DiceMap
from crossmatch.inference.predict import Options, predict
from crossmatch.inference.quality_record import read_quality
from tiny import write_dataset
from untrained import untrained_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run whose quality was estimated once, its scans and masks, and what was exported before and after."""
    root = tmp_path_factory.mktemp("made")
    data = write_dataset(root / "data", n_val=4, n_test=3)
    run, scans = untrained_run(root / "run", data).folder, root / "data" / "imagesTs"
    with quiet():
        before = export_run(run, root / "before", "torch")
        predict(run, scans, root / "ours", Options(device="cpu", quality=True))
        after = export_run(run, root / "after", "torch")
    return SimpleNamespace(run=run, scans=scans, ours=root / "ours", before=before, after=after)


def module_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The estimate.py of an exported folder, which imports the infer.py beside it."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "infer", raising=False)
    spec = importlib.util.spec_from_file_location("estimate_of_export", folder / "estimate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_estimates_lie_beside_the_masks(
    made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Masks and entropies are those of `predict --quality`; the Dice comes from the entropy by the stored constants."""
    module = module_of(made.after, monkeypatch)
    with quiet():
        module.segment_and_estimate(made.scans, tmp_path / "theirs")
    rows = list(csv.DictReader((tmp_path / "theirs" / "quality.csv").read_text().splitlines()))
    (tmp_path / "theirs" / "quality.csv").unlink()
    masks = Path(shutil.copytree(made.ours, tmp_path / "ours"))
    for name in ("quality.csv", "quality.json"):
        (masks / name).unlink()
    assert_same_masks(tmp_path / "theirs", masks)
    ours, fitted = read_quality(made.ours), json.loads((made.after / "model.json").read_text())["quality"]
    assert fitted["told"] == ours.calibration["told"]
    assert fitted["temperature"] == ours.calibration["reliability"]["temperature"]
    to_dice = DiceMap(tuple(fitted["shifts"]), tuple(map(tuple, fitted["knots"])))
    assert [(row["case"], row["class"]) for row in rows] == [
        (case, name) for case in sorted(ours.cases) for name in ("mean", *ours.labels)
    ]
    for case, facts in ours.cases.items():
        found = {row["class"]: row for row in rows if row["case"] == case}
        entropies = [facts["classes"][name]["border_entropy"] for name in ours.labels]
        for name, entropy in zip(ours.labels, entropies, strict=True):
            assert float(found[name]["border_entropy"]) == pytest.approx(entropy, abs=1e-4)
        shares = np.array(entropies)
        wanted = to_dice(1 - shares)
        dice = np.array([float(found[name]["dice"]) for name in ours.labels])
        np.testing.assert_allclose(dice, wanted, atol=1e-3)
        assert float(found["mean"]["dice"]) == pytest.approx(dice.mean(), abs=1e-4)
        width = fitted["half_widths"][-1]
        assert float(found["mean"]["high"]) == pytest.approx(min(1, dice.mean() + width), abs=1e-4)
        assert float(found["mean"]["low"]) == pytest.approx(max(0, dice.mean() - width), abs=1e-4)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(ours.cases)
    assert all("expected Dice" in line for line in printed)


def test_a_class_that_is_missing_has_no_dice(made: SimpleNamespace, tmp_path: Path) -> None:
    """0 where every labelled case has it, else nothing is known; of both, no entropy."""
    about = json.loads((made.after / "model.json").read_text())
    about["quality"] |= {"always": [True, False], "half_widths": [0.1, 0.2, 0.3]}
    (tmp_path / "model.json").write_text(json.dumps(about))
    write_sums(tmp_path)

    def only_background(images: np.ndarray) -> np.ndarray:
        maps = np.zeros((len(images), 3, *images.shape[2:]), np.float32)
        maps[:, 0] = 1
        return maps

    model = WatchedModel(tmp_path, only_background)
    model.labels([(np.arange(20 * 20 * 2).reshape(20, 20, 2), None, None)])
    (_, *mean), (_, *always), (_, *sometimes) = model.estimates()
    np.testing.assert_allclose(mean, [0, 0, 0.3, math.nan])
    np.testing.assert_allclose(always, [0, 0, 0.1, math.nan])
    assert np.isnan(sometimes).all()


def test_what_is_carried_names_no_case(made: SimpleNamespace) -> None:
    text = (made.after / "model.json").read_text()
    assert json.loads(text)["quality"]["told"].startswith("Fitted on")
    assert not [path for path in formats.files_in(made.scans.parent / "imagesTr") if f'"{path[0]}' in text]
    assert "case_0" not in text
    assert "quality.csv" in (made.after / "README.md").read_text()


def test_without_a_calibration_there_is_nothing_to_estimate_with(
    made: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert json.loads((made.before / "model.json").read_text())["quality"] is None
    assert not (made.before / "estimate.py").exists()
    assert "estimate.py" not in (made.before / "README.md").read_text()
    with pytest.raises(ValueError, match="no calibration of quality"):
        WatchedModel(made.before, lambda images: images)
    again = Path(shutil.copytree(made.run, tmp_path / "run"))
    shutil.rmtree(again / "calibration")
    with quiet():
        code, said, _ = call(capsys, "export", again, tmp_path / "model", "--format", "torch")
    assert code == 0
    said = " ".join(said.split())
    assert "It does not estimate quality, as it has no fit: `crossmatch predict" in said
    assert "--quality` makes one" in said


def test_a_scan_that_fails_leaves_the_estimates_before_it(
    made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = Path(shutil.copytree(made.scans, tmp_path / "scans"))
    *_, last = sorted(scans.iterdir())
    nib.save(nib.Nifti1Image(np.ones((20, 20, 3), np.float32), np.eye(4)), last)
    module = module_of(made.after, monkeypatch)
    with quiet(), pytest.raises(ValueError, match="constant"):
        module.segment_and_estimate(scans, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "quality.csv").read_text().splitlines()))
    assert len({row["case"] for row in rows}) == 2


def test_a_name_of_a_scan_is_no_formula(made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scans").mkdir()
    shutil.copy(min(made.scans.iterdir()), tmp_path / "scans" / "=1+1.nii.gz")
    module = module_of(made.after, monkeypatch)
    with quiet():
        module.segment_and_estimate(tmp_path / "scans", tmp_path / "out")
        with pytest.raises(ValueError, match=r"quality\.csv exists already"):
            module.segment_and_estimate(made.scans, tmp_path / "out")
    assert (tmp_path / "out" / "quality.csv").read_text().splitlines()[1].startswith("'=1+1,mean,")
