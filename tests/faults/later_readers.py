"""Further readers of files: pictures in colour, segments with names, radiographs, estimates, reviews, packed models."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
from PIL import Image
from pydicom import dcmread

import mutations
from scenes import Inputs
from tiny import write_dataset
from tiny_dicom import write_series

LABELS = {"background": 0, "liver": 1, "tumour": 2}
SHAPE = (9, 8, 4)


def _colours(name: str) -> Callable[[Inputs, Path], Path]:
    def make(inputs: Inputs, folder: Path) -> Path:
        folder.mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 255, (32, 24, 3)).astype(np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6  # turned, as telephones store pictures
        Image.fromarray(pixels).save(folder / name, exif=exif)
        return folder / name

    return make


def _segments(inputs: Inputs, folder: Path) -> Path:
    folder.mkdir(parents=True)
    voxels = np.zeros((2, *SHAPE), np.uint8)
    voxels[0, 2:4, 2:5], voxels[1, 4:6, 3:7] = 1, 1
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "space directions": np.vstack([np.full(3, np.nan), np.diag([0.5, 0.75, 3.0])]),
        "space origin": [1.0, 2.0, 3.0],
        "kinds": ["list", *["domain"] * 3],
    }
    for n, name in enumerate(("Liver", "tumour")):
        header |= {f"Segment{n}_Name": name, f"Segment{n}_LabelValue": "1", f"Segment{n}_Layer": str(n)}
    nrrd.write(str(folder / "a.seg.nrrd"), voxels, header)
    return folder / "a.seg.nrrd"


def _read_segments(path: Path) -> Any:
    from crossmatch import formats

    found = formats.segments_of(path), formats.read_label(path, labels=LABELS), formats.read_grid(path)
    return found[1]


def _radiograph(inputs: Inputs, folder: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 900, (16, 12, 1)).astype(np.int16)
    (path,) = write_series(folder, pixels)
    data = dcmread(path)
    for tag in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(data, tag)
    data.Modality, data.PixelRepresentation, data.PhotometricInterpretation = "DX", 0, "MONOCHROME1"
    data.ImagerPixelSpacing = [0.2, 0.1]
    data.save_as(path)
    return path


def _read_folder(path: Path) -> Any:
    from crossmatch import formats

    grid, (volume,) = formats.read_grid(path.parent), formats.read_channels([path.parent])
    if grid.shape != volume.shape:
        raise AssertionError(f"grid {grid.shape}, voxels {volume.shape}")
    return volume


def _ignoring(inputs: Inputs, folder: Path) -> Path:
    path = write_dataset(folder, n_train=3, shape=SHAPE) / "dataset.json"
    stated = json.loads(path.read_text())
    path.write_text(json.dumps(stated | {"labels": stated["labels"] | {"ignore": 3}}))
    return path


def _read_dataset(path: Path) -> Any:
    from crossmatch.dataset.check import check

    return check(path.parent)


def _estimates(name: str) -> Callable[[Inputs, Path], Path]:
    """Masks with estimates of their quality, and what these were fitted on."""

    def make(inputs: Inputs, folder: Path) -> Path:
        from crossmatch.inference.predict import Options, predict

        kept = inputs.page.parent / "estimates"
        if not kept.exists():
            shutil.copytree(inputs.run, kept / "run")
            predict([kept / "run"], inputs.data / "imagesTs", kept / "run" / "masks", Options(quality=True))
        shutil.copytree(kept / "run", folder)
        return next(folder.glob(name))

    return make


def _read_estimates(path: Path) -> Any:
    from crossmatch.inference.quality_record import read_quality

    found = read_quality(path.parent)
    return found and (found.cases, found.outdated, found.worst_first())


def _predict_again(path: Path) -> Any:
    """Prediction with estimates, which reads what the run keeps."""
    from crossmatch.inference.predict import Options, predict

    run = path.parents[1]
    scans = sorted((Path(json.loads((run / "run.json").read_text())["data"]["root"]) / "imagesTs").iterdir())
    return predict([run], scans[0], run / "others", Options(quality=True))


def _reviewed(name: str) -> Callable[[Inputs, Path], Path]:
    """A run and its data after a review: one case was accepted, one rejected."""

    def make(inputs: Inputs, folder: Path) -> Path:
        from crossmatch.review.joining import JOINING

        shutil.copytree(inputs.page, folder)
        desk = _desk(folder)
        ident = "unlabelled:case_002"
        with desk.opened(ident) as opened:
            mask = bytes(int(np.prod(opened.grid.shape)))
        for _ in range(2):
            desk.accept(ident, mask, desk.version(desk.case(ident)), True)
        desk.decide("unlabelled:case_003", "rejected", desk.version(desk.case("unlabelled:case_003")))
        (folder / "data" / "review" / JOINING).write_text('["half_0000.nii.gz"]')
        return folder / name

    return make


def _desk(folder: Path) -> Any:
    from crossmatch.review.desk import Desk
    from crossmatch.runs.run import open_run

    return Desk(open_run(folder / "run"), folder / "data", [], [folder / "new"])


def _review(path: Path) -> Any:
    """Open the page, look at the list and at a case, and accept it once more."""
    from crossmatch.review.answers import ASKED
    from crossmatch.review.desk import ChangedError

    desk = _desk(next(parent for parent in path.parents if (parent / "new").exists()))
    ident = "unlabelled:case_002"
    answers = [ASKED[name](desk, {"id": ident}, b"").body for name in ("run", "cases", "case")]
    with desk.opened(ident) as opened:
        mask = bytes(int(np.prod(opened.grid.shape)))
    try:
        desk.accept(ident, mask, desk.version(desk.case(ident)), True)
    except ChangedError as error:
        return str(error)
    return len(answers)


def _packed(inputs: Inputs, folder: Path) -> Path:
    from crossmatch.runs.pack import pack

    return pack(inputs.run, folder / "model.zip")


def _read_packed(path: Path) -> Any:
    from crossmatch.runs.run import open_run

    return open_run(path).load_network("last")[1].facts["step"]


def _exported(name: str) -> Callable[[Inputs, Path], Path]:
    def make(inputs: Inputs, folder: Path) -> Path:
        from crossmatch.export.export_run import export_run

        kept = inputs.page.parent / "exported"
        if not kept.exists():
            export_run(inputs.run, kept, "torch")
        shutil.copytree(kept, folder)
        return folder / name

    return make


def _read_exported(path: Path) -> Any:
    """As infer.py does, whose command tells of these errors in words."""
    from crossmatch.errors import UserError
    from crossmatch.export.infer import ExportedModel

    try:
        return json.dumps(ExportedModel(path.parent, network=len).about)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


def _read_colours(path: Path) -> Any:
    from crossmatch import formats

    grid, channels = formats.read_grid(path), formats.read_channels([path])
    if grid.channels != len(channels) or any(grid.shape != channel.shape for channel in channels):
        raise AssertionError(f"grid {grid.channels} x {grid.shape}, voxels {[one.shape for one in channels]}")
    return [channel.voxels.tobytes() for channel in channels]


LATER = (  # name, make, read, mutate, whether it has a checksum
    ("PNG in colour", _colours("a.png"), _read_colours, mutations.of_bytes),
    ("JPEG in colour", _colours("a.jpg"), _read_colours, mutations.of_bytes),
    ("TIFF in colour", _colours("a.tif"), _read_colours, mutations.of_bytes),
    ("NRRD, segments", _segments, _read_segments, mutations.of_lines),
    ("DICOM radiograph", _radiograph, _read_folder, mutations.of_bytes),
    ("dataset.json with ignore", _ignoring, _read_dataset, mutations.of_json),
    ("quality.json", _estimates("masks/quality.json"), _read_estimates, mutations.of_json),
    ("prediction.json of estimates", _estimates("masks/prediction.json"), _read_estimates, mutations.of_json),
    ("calibration", _estimates("calibration/*.json"), _predict_again, mutations.of_json),
    ("decisions.jsonl", _reviewed("run/review/decisions.jsonl"), _review, mutations.of_json),
    ("note of a label", _reviewed("data/review/case_002.json"), _review, mutations.of_json),
    ("joining.json", _reviewed("data/review/joining.json"), _review, mutations.of_json),
    ("prediction.json of a review", _reviewed("run/unlabelled/prediction.json"), _review, mutations.of_json),
    ("packed model", _packed, _read_packed, mutations.of_bytes),
    ("model.json of an export", _exported("model.json"), _read_exported, mutations.of_json, True),
    ("SHA256SUMS of an export", _exported("SHA256SUMS"), _read_exported, mutations.of_lines, True),
)
