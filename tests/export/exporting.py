"""What the tests of export share: runs of every kind of data, the exported infer.py as a module, masks that agree."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import nibabel as nib
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from crossmatch import formats
from crossmatch.runs.machine import Machine
from crossmatch.runs.run import Run, create_run
from untrained import save_untrained, small_recipe

AGREED = 0.9999  # share of voxels
TURNED = np.array([[0.0, 0, 2.5, -40], [-1.1, 0, 0, 31], [0, 1.3, 0, -7], [0, 0, 0, 1]])  # y backwards, z, x
KINDS = {
    "slices": (),
    "labels": ("predict.resize=labels", "data.normalise=percentile"),
    "channels": ("data.normalise=zscore",),
    "patches": ("data.sampling=patch", "data.normalise=ct", "predict.stride=[9, 16]"),
    "volumes": ("data.sampling=patch", "data.size=[16, 16, 8]", "data.normalise=zscore", "views.strong.brightness=0"),
    "resampled": ("data.sampling=patch", "data.size=[16, 16, 16]", "data.spacing_mm=[1.7, 1.0, 2.0]"),
    "resized volumes": ("data.size=[16, 16, 16]",),
    "colour": ("data.normalise=colour",),
    "photographs": ("data.normalise=colour", "data.interpolation=linear"),
}
UNBOUNDED = ("views.strong.brightness=0", "views.strong.contrast=0")


class Sliced(NamedTuple):
    """An exported model."""

    run: Path  # what it comes from
    scans: Path  # a folder
    exported: Path  # its folder


def run_of(kind: str, folder: Path) -> Run:
    """A run of fresh weights for a kind of data, whose record holds names and paths that nobody else should read."""
    more = UNBOUNDED if any(each.split("=")[1] in ("zscore", "ct") for each in KINDS[kind]) else ()
    teacher = folder.parent / "secret_place" / "teacher_run"
    more += ("train.precision=auto", "method.name=distillation", f"method.teacher={teacher}")  # validated in bf16
    recipe = small_recipe(*KINDS[kind], *more)
    channels = {"colour": ["R", "G", "B"], "photographs": ["R", "G", "B"], "channels": ["T1", "T2"]}.get(kind, ["MR"])
    facts = {
        "root": str(folder.parent / "secret_root"),
        "name": "secret_hospital",
        "fingerprint": "0" * 64,
        "affine": None if len(channels) == 3 else [list(map(float, row)) for row in np.diag([-1.5, -1.5, 2.0, 1.0])],
        "labels": {"background": 0, "RV": 1, "MYO": 2},
        "channels": channels,
        "slice_axis": 2,
        "labelled": ["secret_patient_1"],
        "unlabelled": 5,
        "validation": ["secret_patient_2", "secret_patient_3"],
        "seen": {
            "spacing_mm": [[1.0, 1.0, 2.0], [1.5, 1.5, 2.0]],
            "grey_values": [[0.0, 1.0, 90.0, 99.0, 95.0]] * len(channels),
        },
    }
    if recipe.data.normalise == "ct":
        facts["ct"] = [[20.0, 180.0, 90.0, 35.0]] * len(channels)
    run = create_run(folder, recipe, facts, Machine(torch.device("cpu"), "float32"), begun_from=teacher)
    save_untrained(run, "last", 0)
    return run


def write_scans(kind: str, folder: Path) -> Path:
    """Three smooth scans: NIfTI in other orders of axes and types, or pictures in colours."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    if kind in ("colour", "photographs"):
        for n, size in enumerate([(40, 29), (33, 61), (16, 16)]):
            pixels = np.stack([_smooth(rng, size) for _ in range(3)], axis=-1)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"case_{n}{('.png', '.bmp', '.png')[n]}")
        return folder
    grids = (
        ((31, 24, 9), TURNED),
        ((37, 40, 12), np.diag([-1.5, -1.5, 2.0, 1.0])),
        ((15, 45, 20), np.diag([1.0, -2.0, 1.5, 1.0])),
    )
    for n, (shape, affine) in enumerate(grids):
        for channel in range(2 if kind == "channels" else 1):
            voxels = _smooth(rng, shape)
            stored = (voxels.astype(np.int16), voxels.astype(np.float32) / 3, voxels.astype(np.uint8))[n]
            image = nib.Nifti1Image(stored, affine)
            image.header.set_xyzt_units("mm")
            if n == 1:
                image.header.set_slope_inter(0.5, 3)
            nib.save(image, folder / f"case_{n}_{channel:04d}.nii.gz")
    return folder


def _smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Grey values 0 to 200 that change slowly."""
    field = gaussian_filter(rng.normal(size=shape), 2)
    return np.round(200 * (field - field.min()) / np.ptp(field))


def load_infer(folder: Path) -> ModuleType:
    """The infer.py of an exported folder, which finds the files beside it by their names."""
    loaded = {}
    for name in ("infer_cases", "infer_pictures", "infer"):
        spec = importlib.util.spec_from_file_location(f"{name}_of_{folder.name}", folder / f"{name}.py")
        loaded[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded[name])
    sys.modules |= {name: loaded[name] for name in ("infer_cases", "infer_pictures")}
    return loaded["infer"]


def masks_in(folder: Path) -> list[str]:
    """The names of the masks that infer.py wrote."""
    return sorted(path.name for path in folder.iterdir() if path.name != "made_by.json")


def assert_same_masks(found: Path, wanted: Path) -> None:
    """Equal files, grids and, in `AGREED` of all voxels, labels; and more than one class in the whole."""
    names = sorted(path.name for path in wanted.iterdir() if path.name != "prediction.json" and path.is_file())
    assert masks_in(found) == names
    classes = set()
    for name in names:
        mine, ours = formats.read(found / name), formats.read(wanted / name)
        assert mine.voxels.dtype == ours.voxels.dtype == np.uint8
        assert mine.shape == ours.shape
        assert np.array_equal(mine.affine, ours.affine)
        assert mine.spacing_mm == ours.spacing_mm
        share = float((mine.voxels == ours.voxels).mean())
        assert share >= AGREED, f"{name}: {share:.6f}"
        classes |= set(np.unique(ours.voxels).tolist())
    assert len(names) == 3
    assert len(classes) > 1
