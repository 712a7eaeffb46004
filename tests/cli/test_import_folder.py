"""From raw files to masks: `import folder`, `check`, `train`, `predict`, each as a process, and no script between."""

from pathlib import Path

import numpy as np
from test_app import SETTINGS, process

from crossmatch import formats
from folder_files import brats, photographs, scan

TRAIN = ("train", "phantom", "--data", "data", "--out", "run", "--set", "method.name=supervised", *SETTINGS)
TRAIN += ("--set", "train.steps=2", "--set", "data.labelled=all")


def test_photographs_and_masks_of_255(tmp_path: Path) -> None:
    photographs(tmp_path / "raw", [f"Jörg Müller {n}" for n in range(1, 6)])
    told = process("import", "folder", "raw", "data", "--names", "255=mole", "--validation", "0.25", cwd=tmp_path)
    assert "3 labelled and 1 unlabelled for training, 1 for validation" in told
    assert "0 background, 1 mole" in told
    assert "4 train, 1 val, 0 test cases are sound" in process("check", "data", cwd=tmp_path)
    process(*TRAIN, cwd=tmp_path)
    process("predict", "run", "raw/photos", "masks", cwd=tmp_path)
    mask = formats.read_label(tmp_path / "masks" / "Jörg Müller 5.png")
    assert mask.shape == (20, 24)
    assert set(np.unique(mask.voxels)) <= {0, 1}


def test_four_sequences_with_labels_0_1_2_4(tmp_path: Path) -> None:
    brats(tmp_path / "raw")
    told = process("import", "folder", "raw", "data", cwd=tmp_path)
    assert "Channels: t1, t1ce, t2, flair" in told
    assert "4 becomes 3" in told
    process("check", "data", cwd=tmp_path)
    process(*TRAIN, cwd=tmp_path)
    for number in range(4):
        scan(tmp_path / "new" / f"zoe_{number:04d}.nii.gz", number)
    process("predict", "run", "new", "masks", cwd=tmp_path)
    assert formats.read_label(tmp_path / "masks" / "zoe.nii.gz").shape == (12, 10, 4)
