"""Masks for scans: slices through the network, back to the scan's own size, in the scan's own geometry.

Shapes: I items (slices of a scan, or the scan itself), C channels, K classes, *S space.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmatch.atomic import write_json
from crossmatch.config import Recipe
from crossmatch.data.files import ENDINGS, Volume, read_grid, read_volume, same_grid, write_volume
from crossmatch.data.inputs import group_channels
from crossmatch.data.intensity import scale
from crossmatch.data.store import from_items, to_items
from crossmatch.devices import choose_device, memory_advice, uses_bf16
from crossmatch.errors import UserError
from crossmatch.networks import Segmenter
from crossmatch.networks.layers import resize_linear
from crossmatch.perturb.geometry import look_up, output_grid
from crossmatch.run import open_run


@dataclass(frozen=True)
class Predictor:
    """A network with all that is needed to segment a scan as it lies on disk."""

    network: Segmenter
    recipe: Recipe
    slice_axis: int
    device: torch.device
    flips: bool = False  # average over all in-plane mirror images
    probabilities: bool = False  # return them too: 4 K bytes a voxel of memory

    @torch.inference_mode()
    def __call__(
        self, channels: Sequence[NDArray[Any]], path: Path
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """Segment one scan.

        Args:
            channels: grey values as stored, one array (*S) a channel.
            path: the scan's file, for messages.

        Returns:
            Labels (*S), uint8, and probabilities (K, *S), float32, or None where they were not asked for. Where the
            recipe resizes labels (the published ACDC protocol), the labels are the network's, enlarged by nearest
            neighbour; else the maximum of the probabilities at the scan's own size.
        """
        ndim, axis, dims = channels[0].ndim, self.slice_axis, self.recipe.dims
        scaled = [to_items(scale(channel, self.recipe.data.normalise), dims, axis, path) for channel in channels]
        count, size = len(scaled[0]), scaled[0].shape[1:]
        labels = np.empty((count, *size), np.uint8)
        maps = np.empty((self.network.classes, count, *size), np.float32) if self.probabilities else None
        for start in range(0, count, self.recipe.predict.batch):
            part = slice(start, start + self.recipe.predict.batch)
            label, probability = self._items(torch.from_numpy(np.stack([channel[part] for channel in scaled], axis=1)))
            labels[part] = label.numpy()
            if maps is not None and probability is not None:
                maps[:, part] = probability.numpy().swapaxes(0, 1)
        whole = from_items(labels, ndim, axis).astype(np.uint8)
        return whole, None if maps is None else np.stack(
            [from_items(one, ndim, axis) for one in maps], dtype=np.float32
        )

    def _items(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """(I, C, *S) -> labels (I, *S) uint8 and probabilities (I, K, *S) if they are wanted, on the CPU."""
        images, native = images.to(self.device), tuple(images.shape[2:])
        small = self._average_flips(_resize_nearest(images, self.recipe.data.size))
        by_label = self.recipe.predict.resize == "labels"
        full = None if by_label and not self.probabilities else resize_linear(small, native)
        if by_label:
            label = _enlarge_labels(small.argmax(1, keepdim=True), native)
        else:
            assert full is not None
            label = full.argmax(1, keepdim=True)
        wanted = full.cpu() if full is not None and self.probabilities else None
        return label.squeeze(1).to("cpu", torch.uint8), wanted

    def _average_flips(self, images: Tensor) -> Tensor:
        plane = (2, 3)
        subsets = itertools.chain.from_iterable(itertools.combinations(plane, n) for n in range(3))
        flips = list(subsets) if self.flips else [()]
        total = torch.zeros(())
        for axes in flips:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
                logits = self.network(images.flip(axes))
            total = total.to(images.device) + logits.float().softmax(1).flip(axes)
        return total / len(flips)

    @property
    def _bf16(self) -> bool:
        return uses_bf16(self.recipe.train.precision, self.device)


def _resize_nearest(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """(I, C, *S) -> (I, C, *size) by order 0, on the grid that training looks images up on."""
    native = torch.tensor([images.shape[2:]], device=images.device)
    lookup = look_up(torch.diag_embed((native.float() - 1) / 2), native, output_grid(size, images.device))
    return images.flatten(2)[:, :, lookup.source[0]]


def _enlarge_labels(labels: Tensor, size: tuple[int, ...]) -> Tensor:
    """(I, 1, *S) -> (I, 1, *size) by order 0, in the arithmetic of SciPy's zoom: half-way positions round as there."""
    for axis, n in enumerate(size, start=2):
        step = (labels.shape[axis] - 1) / max(n - 1, 1)
        nearest = (torch.arange(n, dtype=torch.float64) * step + 0.5).floor().long()
        labels = labels.index_select(axis, nearest.to(labels.device))
    return labels


def predict(
    run_folder: Path,
    source: Path,
    target: Path,
    *,
    checkpoint: str = "last",
    device: str = "auto",
    flips: bool = False,
    probabilities: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Segment a file or a folder of files with a finished run; writes `target/<case>.nii.gz` in each input's geometry.

    Masks that an earlier call with the same run, checkpoint and settings left in `target` are kept, so that a call that
    stopped half-way can be repeated.

    Args:
        run_folder: a run; source: an image file, or a folder of `<case>_0000.nii.gz` (one file a channel; files
            without a channel number are single-channel cases); target: a folder, made if it is not there.
        checkpoint: ``last``, ``best`` or the path of a checkpoint of the same network.
        flips: average over mirror images.
        probabilities: also write `target/probabilities/<case>.nii.gz`, float32, with the classes along a further axis.
        progress: called with cases done and in all.

    Raises:
        UserError: nothing to segment, unreadable, non-finite or constant images, channels on different grids or too
            few of them, or a folder that holds masks of another run, setting or origin. Only trouble with
            the voxels of a file is found as late as its turn comes.
    """
    run = open_run(run_folder)
    cases = group_channels(source, len(run.data["channels"]))
    maps = target / "probabilities"
    folders = (target, maps) if probabilities else (target,)
    existing = [name for name in cases if any((folder / f"{name}.nii.gz").exists() for folder in folders)]
    if existing and not (target / "prediction.json").is_file():
        raise UserError(
            f"{target} has masks already ({', '.join(existing[:3])}{', ...' if existing[3:] else ''}), and no "
            "prediction.json that says whose: choose another folder, or remove them; nothing was overwritten."
        )
    for name, paths in cases.items():
        grids = [read_grid(path) for path in paths]
        if not all(same_grid(grids[0], other) for other in grids[1:]):
            places = " and ".join(str(path) for path in paths)
            raise UserError(f"The channels of {name} lie on different grids ({places}): resample them onto one.")
    network, loaded = run.load_network(checkpoint)
    chosen = choose_device(device)
    predictor = Predictor(network.to(chosen), run.recipe, run.data["slice_axis"], chosen, flips, probabilities)
    facts = {
        "run": run_folder.resolve().name,
        "checkpoint": Path(checkpoint).name,
        "step": loaded.facts["step"],
        "flips": flips,
        "recipe": run.record["recipe"],
        "data": {**run.data, "root": Path(run.data["root"]).name},
        "training": {
            "seconds": round(loaded.facts["seconds"], 1),
            **{key: run.record[key] for key in ("code", "device", "versions")},
        },
    }
    _note_origin(target, facts)
    written = []
    with memory_advice("Lower predict.batch in the run's run.json, or use --device cpu."):
        for done, (name, paths) in enumerate(cases.items()):
            progress(done, len(cases))
            written.append(target / f"{name}.nii.gz")
            if all((folder / f"{name}.nii.gz").exists() for folder in folders):
                continue  # an earlier call of the same prediction made it
            volumes = [_read_image(path) for path in paths]
            labels, probability = predictor([volume.voxels for volume in volumes], paths[0])
            if probability is not None:
                write_volume(maps / f"{name}.nii.gz", np.moveaxis(probability, 0, -1), volumes[0])
            write_volume(written[-1], labels, volumes[0])
    progress(len(cases), len(cases))
    return written


def _read_image(path: Path) -> Volume:
    """One channel of a scan; a UserError where its voxels can give no mask."""
    volume = read_volume(path)
    if volume.voxels.dtype.kind == "f" and not np.isfinite(volume.voxels).all():
        raise UserError(
            f"{path} has voxels that are NaN or infinite: replace them (for instance by 0), or leave it out."
        )
    if volume.voxels.min() == volume.voxels.max():
        raise UserError(
            f"{path} is constant, every voxel is {volume.voxels.flat[0]:g}: export it again, or leave it out."
        )
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
