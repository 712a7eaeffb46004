"""Masks for files: a run's network on a scan or a folder of scans, written in each scan's own geometry and format.

Three parts: what can be checked without voxels, the record of what makes the masks, the segmenting itself
(`segmenting.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from crossmatch import formats
from crossmatch.errors import UserError
from crossmatch.formats import SegmentCode
from crossmatch.inference.comparing import views_of
from crossmatch.inference.ensemble import load_networks, open_runs, windows_of
from crossmatch.inference.familiar import doubtful
from crossmatch.inference.inputs import find_scans
from crossmatch.inference.judged import Judged, calibration_of, made_by
from crossmatch.inference.origin import origin, refuse_file
from crossmatch.inference.outputs import files_to_make
from crossmatch.inference.predictor import Predictor
from crossmatch.inference.segmenting import segment
from crossmatch.inference.sources import known_sources
from crossmatch.networks.segmenter import Segmenter
from crossmatch.recipes import Recipe, load_recipe
from crossmatch.recipes.data_settings import Stride, check_stride
from crossmatch.runs.devices import Precision, choose_device, memory_advice, uses_bf16
from crossmatch.runs.lock import only_writer
from crossmatch.runs.run import Run


@dataclass(frozen=True)
class Options:
    """What can be chosen for a prediction."""

    checkpoint: str = "last"  # or "best", or the path of a checkpoint of the same network
    device: str = "auto"
    flips: bool = False  # average over mirror images
    probabilities: bool = False  # also write target/probabilities/<case>, float32, the classes along a further axis
    # Of sliding windows, instead of the recipe's. "even": laid evenly, half a patch apart (a third along the longest
    # axis), with Gaussian weights; numbers count every window alike.
    stride: Stride | None = None
    batch: int | None = None  # slices or windows at a time, instead of the recipe's
    format: str | None = None  # ending of the masks without its dot; None: the format of each scan, where that can be
    codes: Sequence[str] = ()  # of DICOM segmentations: LABEL=SCHEME:VALUE:MEANING
    quality: bool = False  # also write target/quality.json and quality.csv
    uncertainty: bool = False  # the same, and target/uncertainty/<case>, float32: entropy of the decodings, 1 at most
    # Of the network. float32 gives the masks of `crossmatch export`, whatever the processor; bf16 takes half the time.
    precision: Precision = "float32"

    @property
    def maps(self) -> tuple[str, ...]:
        """What is written beside the masks, see `files_to_make`."""
        return tuple(name for name in ("probabilities", "uncertainty") if getattr(self, name))


def predict(
    run_folder: Path | Sequence[Path],
    source: Path,
    target: Path,
    options: Options = Options(),
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Segment a file or a folder of files with a finished run; write `target/<case>` in each input's format.

    Where that format cannot hold masks they become PNG (for pictures) or NIfTI (for all else).

    Masks that an earlier call with the same run, checkpoint and settings left in `target` are kept, so that a call that
    stopped half-way can be repeated. Those that were made from another scan of that name are made again, and `warn` is
    told; so it is of masks that were changed since, which are kept. Scans whose voxels cannot be used are named when
    all others are done. What is written stays.

    Args:
        run_folder: a run, or several whose probabilities are averaged, see `ensemble.py`.
        source: an image file, or a folder of files <case>_0000, one a channel. Files without a channel number are cases
            of a single channel.
        target: a folder, made if it is not there.
        progress: called with cases segmented and in all.
        warn: called with what the user should know about the scans.

    Returns:
        The masks.

    Raises:
        UserError: nothing to segment, unreadable, non-finite or constant images, channels on different grids or too
            few of them, other axes than the recipe's, an unknown voxel size where the recipe resamples, or a folder
            that holds masks of another run, setting or origin.
    """
    runs = open_runs(run_folder)
    run = runs[0]
    recipe = _recipe(run, options)
    scans = find_scans(source, run, recipe, warn)
    for one in runs:
        if told := doubtful(one, options.checkpoint):
            warn(told)
    made = files_to_make(target, scans, options.format, options.maps)

    network, checkpoints = load_networks(runs, options.checkpoint)
    device = choose_device(options.device)
    predictor = predictor_of(runs, network.to(device), device, options)
    refuse_file(target)
    codes = _codes(run, options)
    facts: dict[str, Any] = {"codes": codes} if codes else {}
    recipes, chosen = [_recipe(one, options) for one in runs], options.checkpoint
    facts |= origin(runs, recipes, checkpoints, chosen, predictor.flips, predictor.bf16)
    pairs = list(zip(scans, made, strict=True))
    with (
        only_writer(target),
        known_sources(target, facts, pairs, warn) as sources,
        memory_advice("Predict fewer slices or windows at a time with --batch 1, or use --device cpu."),
    ):
        judged = None
        if predictor.views is not None:
            calibration = calibration_of(runs, predictor, facts["weights_sha256"], progress)
            made_of = made_by(facts, predictor.views)
            judged = Judged(target, run, predictor.views, calibration, made_of, sources)
        segment(predictor, pairs, progress, sources, run, codes, judged, warn)
    return [files[0] for files in made]


def predictor_of(runs: Sequence[Run], network: Segmenter, device: torch.device, options: Options) -> Predictor:
    """The network of one run or of several, which lies on `device`, with what was chosen for the prediction.

    Several have the patch, the windows and the frame of the first.

    Raises:
        UserError: flips, a stride or a batch that do not fit the run.
    """
    run, (recipe, *_) = runs[0], [_recipe(one, options) for one in runs]
    if options.batch is not None:
        recipe = _changed(recipe, batch=options.batch)
    return Predictor(
        network,
        recipe,
        run.data["slice_axis"],
        device,
        options.flips,
        options.probabilities,
        windows_of(runs),
        run.frame,
        views_of(recipe, network, options.uncertainty) if options.quality or options.uncertainty else None,
        uses_bf16(options.precision, device),
    )


def _codes(run: Run, options: Options) -> dict[str, SegmentCode]:
    """The codes that are given for the labels."""
    if options.codes and options.format != "dicom-seg":
        raise UserError("--code is for DICOM segmentations: add --format dicom-seg, or leave it out.")
    return formats.parse_codes(options.codes, run.data["labels"])


def _recipe(run: Run, options: Options) -> Recipe:
    """The run's recipe with the settings of prediction that change masks."""
    if options.flips and run.recipe.views.weak.turn_probability == 0:
        raise UserError(
            f"--flips does not fit the run {run.folder}: it was trained without turns and flips, so its network does "
            "not know mirror images. Leave out --flips."
        )
    if options.stride is None:
        return run.recipe
    try:
        stride = run.recipe.data.size if options.stride == "even" else options.stride
        check_stride(stride, run.recipe.data)  # even ones fit every patch, but no whole image
    except ValueError as error:
        raise UserError(f"--stride does not fit the run: {error}.") from None
    return _changed(run.recipe, stride=options.stride)


def _changed(recipe: Recipe, **settings: Any) -> Recipe:
    """The recipe with other settings of prediction; a UserError where they do not fit."""
    return load_recipe(recipe, {f"predict.{name}": value for name, value in settings.items()})
