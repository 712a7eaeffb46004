"""A trained network that segments arrays and files: what `crossmatch.train` and `crossmatch.load` give.

Shapes: *S a scan in the axis order of its file, 2 or 3 axes; C channels; K classes, background included; *N images as
the network takes them.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from crossmatch.inference.arrays import volumes_of
from crossmatch.inference.familiar import doubtful, strange
from crossmatch.inference.predict import Options, predict, predictor_of
from crossmatch.networks import Segmenter
from crossmatch.recipes.data_settings import Stride
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.devices import Precision, memory_advice
from crossmatch.runs.display import Counted, counting
from crossmatch.runs.run import Run

Labels = NDArray[np.uint8]
Maps = NDArray[np.float32]


@dataclass(frozen=True, repr=False)
class Model:
    """A trained network, ready to segment. `train` and `load` make it.

    Attributes:
        run: the run it comes from: its folder, its recipe, and what `run.json` recorded; of several the first.
        network: the torch module, in eval mode; logits (B, K, *N) from images (B, C, *N).
        checkpoint: ``last``, ``best`` or a file.
        device: where the network lies and computes.
        others: the further runs whose probabilities are averaged with those of the first.
    """

    run: Run
    network: Segmenter
    checkpoint: str
    device: torch.device
    others: tuple[Run, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """All settings of the training."""
        return self.run.recipe

    @property
    def labels(self) -> dict[str, int]:
        """Name of each class -> its value in the labels, background first."""
        return dict(self.run.data["labels"])

    @overload
    def predict(
        self,
        image: ArrayLike,
        *,
        spacing_mm: Sequence[float] | None = ...,
        affine: ArrayLike | None = ...,
        flips: bool = ...,
        probabilities: Literal[False] = ...,
        stride: Stride | None = ...,
        batch: int | None = ...,
        precision: Precision = ...,
    ) -> Labels: ...

    @overload
    def predict(
        self,
        image: ArrayLike,
        *,
        spacing_mm: Sequence[float] | None = ...,
        affine: ArrayLike | None = ...,
        flips: bool = ...,
        probabilities: Literal[True],
        stride: Stride | None = ...,
        batch: int | None = ...,
        precision: Precision = ...,
    ) -> tuple[Labels, Maps]: ...

    def predict(
        self,
        image: ArrayLike,
        *,
        spacing_mm: Sequence[float] | None = None,
        affine: ArrayLike | None = None,
        flips: bool = False,
        probabilities: bool = False,
        stride: Stride | None = None,
        batch: int | None = None,
        precision: Precision = "float32",
    ) -> Labels | tuple[Labels, Maps]:
        """Segment one scan that lies in memory, voxel for voxel as `crossmatch predict` segments its file.

        Args:
            image: (*S) for a network of one channel, (C, *S) for one of several, in the order of the dataset's
                channels; grey values as the files of the training hold them, not yet scaled. A 2D network takes one
                slice, or a volume that it cuts as it cut the training scans. Without `affine` the axes run as in the
                first training scan: x, y, z, as nibabel reads them. SimpleITK's arrays are z, y, x: transpose them.
            spacing_mm: voxel size, one number for each axis of *S. Needed if the recipe resamples (`data.spacing_mm`).
            affine: (4, 4), voxel index to world in mm, instead of the spacing. With it, axes may be in any order and
                direction; the labels have those of the image.
            flips: average over mirror images.
            probabilities: return them too.
            stride: of sliding windows, one number an axis, or ``even``; None: as the recipe says.
            batch: slices or windows at a time; None: as the recipe says.
            precision: of the network, ``float32``, ``bf16`` or ``auto`` (bf16 where the hardware computes in it).

        Returns:
            Labels (*S), uint8, the values of `labels`; with `probabilities` a pair of labels and (K, *S), float32.

        Raises:
            UserError: an image of other axes or channels, that is constant or not finite, or whose voxel size is
                needed and not given; flips or a stride that do not fit the run.

        Warns of what `crossmatch predict` warns of: grey values and voxel sizes unlike the training's, a run that is
        unfinished, and a last checkpoint that is worse than an earlier one.
        """
        volumes = volumes_of(np.asarray(image), self.run, spacing_mm, affine)
        weights = [told for run in (self.run, *self.others) if (told := doubtful(run, self.checkpoint))]
        for told in (*weights, *strange(self.run, volumes)):
            warnings.warn(told, stacklevel=2)
        options = Options(flips=flips, probabilities=probabilities, stride=stride, batch=batch, precision=precision)
        predictor = predictor_of((self.run, *self.others), self.network, self.device, options)
        with memory_advice("Segment fewer slices or windows at a time with batch=1, or load the run on the CPU."):
            labels, maps = predictor(volumes, Path("image"))
        return labels if maps is None else (labels, maps)

    def predict_files(
        self,
        source: str | os.PathLike[str],
        out: str | os.PathLike[str],
        *,
        flips: bool = False,
        probabilities: bool = False,
        stride: Stride | None = None,
        batch: int | None = None,
        precision: Precision = "float32",
        format: str | None = None,
        codes: Sequence[str] = (),
        quality: bool = False,
        uncertainty: bool = False,
        progress: Counted = True,
    ) -> list[Path]:
        """Segment a file or a folder of files; each mask has the size, geometry and format of its scan.

        The weights are those of the checkpoint, whatever was done to `network` since. Masks from an earlier
        call with the same settings are kept, unless their scan has changed.

        Args:
            source: an image file, or a folder of files CASE_0000, one a channel (a name without a channel number is a
                case of one channel).
            out: a folder for the masks; prediction.json in it records what made them.
            flips: average over mirror images.
            probabilities: write them too, into out/probabilities.
            stride: of sliding windows, one number an axis, or ``even``; None: as the recipe says.
            batch: slices or windows at a time; None: as the recipe says.
            precision: of the network, ``float32``, ``bf16`` or ``auto`` (bf16 where the hardware computes in it).
            format: of the masks, such as ``nrrd``; None: that of each scan, where masks can be written in it.
            codes: of labels in DICOM segmentations, such as ``liver=SCT:10200004:Liver``; others are those of a small
                table, or private.
            quality: estimate the Dice of each mask, into out/quality.csv and quality.json, see docs/quality.md.
            uncertainty: the same, and maps of uncertainty into out/uncertainty.
            progress: True shows a bar, False nothing; or a function called with (scans done, scans in all).

        Returns:
            The masks' paths.

        Raises:
            UserError: nothing to segment, scans the network cannot take, or a folder with masks of another origin.
        """
        with counting(progress, "Predicting") as count:
            return predict(
                [run.folder for run in (self.run, *self.others)],
                Path(source),
                Path(out),
                Options(
                    self.checkpoint,
                    str(self.device),
                    flips,
                    probabilities,
                    stride,
                    batch,
                    format,
                    codes,
                    quality,
                    uncertainty,
                    precision,
                ),
                progress=count,
                warn=lambda text: warnings.warn(text, stacklevel=2),
            )

    def __repr__(self) -> str:
        what = f"{self.recipe.dims}D {self.recipe.network.name} by {self.recipe.method.name}"
        runs = ", ".join(repr(str(run.folder)) for run in (self.run, *self.others))
        return f"Model({runs}: {what}, {self.checkpoint} checkpoint, classes {', '.join(self.labels)})"
