"""Masks for files: a run's network on a scan or a folder of scans, written in each scan's own geometry.

While the network computes one scan, a thread reads the next and another writes the masks of the one before.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmatch.atomic import write_json
from crossmatch.batches.items import stored_shape
from crossmatch.dataset.orientation import WAY_OUT, stored_otherwise
from crossmatch.errors import UserError
from crossmatch.formats.nifti import ENDINGS, Volume, read_grid, read_volume, same_grid, write_volume
from crossmatch.inference.inputs import group_channels
from crossmatch.inference.predictor import Predictor, check_voxels
from crossmatch.networks.layers import to_channels_last
from crossmatch.recipes.schema import Recipe, Stride, check_stride
from crossmatch.runs.checkpoint import load_facts
from crossmatch.runs.devices import choose_device, memory_advice
from crossmatch.runs.run import open_run
from crossmatch.scoring.scores import listed

Files = tuple[Path, ...]


def predict(
    run_folder: Path,
    source: Path,
    target: Path,
    *,
    checkpoint: str = "last",
    device: str = "auto",
    flips: bool = False,
    probabilities: bool = False,
    stride: Stride | None = None,
    batch: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Segment a file or a folder of files with a finished run; writes `target/<case>.nii.gz` in each input's geometry.

    Masks that an earlier call with the same run, checkpoint and settings left in `target` are kept, so that a call that
    stopped half-way can be repeated; those older than their scan, or on another grid, are made again. Trouble with a
    scan, and Ctrl-C, come out once the files being read and written are done with; what is written stays.

    Args:
        run_folder: a run; source: an image file, or a folder of `<case>_0000.nii.gz` (one file a channel; files
            without a channel number are single-channel cases); target: a folder, made if it is not there.
        checkpoint: ``last``, ``best`` or the path of a checkpoint of the same network.
        flips: average over mirror images.
        probabilities: also write `target/probabilities/<case>.nii.gz`, float32, with the classes along a further axis.
        stride: of sliding windows, instead of the recipe's; ``even`` lays them evenly, half a patch apart (a third
            along the longest axis), with Gaussian weights, numbers count every window alike.
        batch: slices or windows at a time, instead of the recipe's.
        progress: called with cases segmented and in all; warn: with what the user should know about the scans.

    Raises:
        UserError: nothing to segment, unreadable, non-finite or constant images, channels on different grids or too
            few of them, other axes than the recipe's, an unknown voxel size where the recipe resamples, or a folder
            that holds masks of another run, setting or origin. Only trouble with the voxels of a file is found as
            late as its turn comes.
    """
    run = open_run(run_folder)
    recipe = run.recipe if stride is None else _with_stride(run.recipe, stride)
    if flips and recipe.views.weak.turn_probability == 0:
        raise UserError(
            f"--flips does not fit the run {run_folder}: it was trained without turns and flips, so its network does "
            "not know mirror images. Leave --flips away."
        )
    cases = group_channels(source, len(run.data["channels"]))
    maps = target / "probabilities"
    folders = (target, maps) if probabilities else (target,)
    existing = [name for name in cases if any((folder / f"{name}.nii.gz").exists() for folder in folders)]
    if existing and not (target / "prediction.json").is_file():
        raise UserError(
            f"{target} has masks already ({', '.join(existing[:3])}{', ...' if existing[3:] else ''}), and no "
            "prediction.json that says whose: choose another folder, or remove them; nothing was overwritten."
        )
    _refuse_place_of_scans(target, cases)
    turned = []
    for name, paths in cases.items():
        grids = [read_grid(path) for path in paths]
        if not all(same_grid(grids[0], other) for other in grids[1:]):
            places = " and ".join(str(path) for path in paths)
            raise UserError(f"The channels of {name} lie on different grids ({places}): resample them onto one.")
        fits = (recipe.data.spacing_mm, recipe.dims, run.data["slice_axis"], paths[0])
        stored_shape(grids[0].shape, grids[0].spacing_mm, *fits)  # a UserError where the recipe cannot take the scan
        if "affine" in run.data and stored_otherwise(grids[0].affine, run.data["affine"]):
            turned.append(name)
    if turned:
        warn(f"stored with other axes than the scans of the training, swapped or flipped: {listed(turned)}; {WAY_OUT}")
    network, loaded = run.load_network(checkpoint)
    last = run.checkpoint("last")  # knows what the whole run took; where it was not kept, what it took up to the best
    whole = load_facts(last) if checkpoint == "best" and last.is_file() else loaded.facts
    chosen = choose_device(device)
    network = to_channels_last(network.to(chosen))
    computed = recipe if batch is None else _changed(recipe, batch=batch)
    predictor = Predictor(network, computed, run.data["slice_axis"], chosen, flips, probabilities)
    facts = {
        "run": run_folder.resolve().name,
        "checkpoint": Path(checkpoint).name,
        "step": loaded.facts["step"],
        "flips": flips,
        "recipe": recipe.model_dump(mode="json"),
        "data": {**run.data, "root": Path(run.data["root"]).name},
        "training": {
            "seconds": round(whole["seconds"], 3),
            "parameters": whole.get("parameters"),  # unknown to runs of earlier versions
            "peak_memory_bytes": whole.get("peak_memory"),
            "validation_dice": loaded.facts.get("best" if checkpoint == "best" else "validation"),
            **{key: run.record[key] for key in ("code", "device", "versions")},
        },
    }
    _note_origin(target, facts)
    scans = [(tuple(folder / f"{name}.nii.gz" for folder in folders), paths) for name, paths in cases.items()]
    with memory_advice("Predict fewer slices or windows at a time with --batch 1, or use --device cpu."):
        _segment(predictor, scans, progress)
    return [made[0] for made, _ in scans]


def _segment(predictor: Predictor, scans: Sequence[tuple[Files, Files]], progress: Callable[[int, int], None]) -> None:
    """Segment scans in turn, each given as the files to make (mask, probabilities if wanted) and its channels' files.

    Memory holds the scan that is computed, the next one, and what was made of the one before. Errors come in the order
    of the scans: one of writing before those of the scans after it.
    """
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        reading = reader.submit(_read_scan, *scans[0])
        writing: Future[None] | None = None
        try:
            for done, (made, paths) in enumerate(scans):
                progress(done, len(scans))
                volumes = reading.result()
                if done + 1 < len(scans):
                    reading = reader.submit(_read_scan, *scans[done + 1])
                if volumes is None:
                    continue
                labels, probability = predictor(volumes, paths[0])
                if writing is not None:
                    writing.result()
                grid = replace(volumes[0], voxels=labels)  # the scan's, without its voxels
                writing = writer.submit(_write_files, made, labels, probability, grid)
                del volumes, labels, probability  # before the next are made
        finally:
            if writing is not None:
                writing.result()
    progress(len(scans), len(scans))


def _read_scan(made: Files, paths: Files) -> list[Volume] | None:
    """A scan's channels, or None where an earlier call made its files."""
    return None if _made_before(made, paths) else [_read_image(path) for path in paths]


def _write_files(made: Files, labels: NDArray[np.uint8], probability: NDArray[np.float32] | None, like: Volume) -> None:
    """Write a scan's files; the mask last, so that it is there only when all of them are."""
    if probability is not None:
        write_volume(made[1], np.moveaxis(probability, 0, -1), like)
    write_volume(made[0], labels, like)


def _with_stride(recipe: Recipe, stride: Stride) -> Recipe:
    size = recipe.data.size
    try:
        check_stride(size if stride == "even" else stride, recipe.data)  # even ones fit every patch, but no whole image
    except ValueError as error:
        raise UserError(f"--stride does not fit the run: {error}.") from None
    return _changed(recipe, stride=stride)


def _changed(recipe: Recipe, **settings: Any) -> Recipe:
    """The recipe with other settings of prediction."""
    return recipe.model_copy(update={"predict": recipe.predict.model_copy(update=settings)})


def _made_before(made: Files, scan: Files) -> bool:
    """Whether an earlier call made the files of a case, mask first: all there, no older than the scan, on its grid."""
    changed = max(path.stat().st_mtime_ns for path in scan)
    if not all(path.is_file() and path.stat().st_mtime_ns >= changed for path in made):
        return False
    return same_grid(read_grid(made[0]), read_grid(scan[0]))


def _refuse_place_of_scans(target: Path, cases: dict[str, Files]) -> None:
    """Masks beside images would be taken for images, or replace them."""
    folder = target.resolve()
    of_dataset = folder.name in ("imagesTr", "imagesTs") and (folder.parent / "dataset.json").is_file()
    if of_dataset or any(path.resolve().parent == folder for paths in cases.values() for path in paths):
        raise UserError(f"{target} holds the images themselves: name another folder for the masks.")


def _read_image(path: Path) -> Volume:
    """One channel of a scan; a UserError where its voxels can give no mask."""
    volume = read_volume(path)
    check_voxels(volume.voxels, str(path))
    return volume


def _note_origin(target: Path, facts: dict[str, Any]) -> None:
    """Make the folder of masks and write what makes them into prediction.json, before the first mask."""
    path = target / "prediction.json"
    if (target.exists() and not target.is_dir()) or target.name.endswith(ENDINGS):
        raise UserError(f"{target} is a file: name a folder for the masks.")
    if path.exists():
        with contextlib.suppress(ValueError):
            if json.loads(path.read_text()) == json.loads(json.dumps(facts)):
                return
        raise UserError(
            f"{target} holds predictions of another run, checkpoint or setting, see {path}: choose another folder, "
            "or empty this one; nothing was overwritten."
        )
    target.mkdir(parents=True, exist_ok=True)
    write_json(path, facts)
